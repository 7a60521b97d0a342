"""Trainer, model and data module of a command line, for use in Python."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from jsonargparse import set_parsing_settings
from lightning import LightningDataModule, LightningModule, Trainer

from rnn_lab.commands._cli import LabCLI
from rnn_lab.core.cpu import configure_cpu
from rnn_lab.training.runs import RUN_DIR_ENV


class Built(NamedTuple):
    """What `fit` would run.

    Attributes:
        trainer: The Trainer, with the callbacks and loggers of `fit`.
        model: The model, with the weights of `--init_from` if it is given.
        datamodule: The data module.
    """

    trainer: Trainer
    model: LightningModule
    datamodule: LightningDataModule


class _Builder(LabCLI):
    """Instantiate everything, and run nothing."""

    def _run_subcommand(self, subcommand: str) -> None:
        os.environ.pop(RUN_DIR_ENV, None)


def build(args: Sequence[str]) -> Built:
    """Build Trainer, model and data module from options of `rnn-lab fit`, without training.

    `trainer.fit(model, datamodule)` then trains as the command would. Nothing is written before.

    Args:
        args: Options of `fit`, such as `["--model=LSTMClassifier", "--data=SyntheticReviews"]`.

    Raises:
        UserError: If an option is invalid.
        SystemExit: With status 2 if the command line is invalid.
    """
    configure_cpu()
    set_parsing_settings(import_path_denylist=[])
    cli = _Builder(["fit", *args])
    return Built(cli.trainer, cli.model, cli.datamodule)
