"""Options of `fit`, `validate` and `test` beside those of Lightning; defaults of the Trainer."""

from typing import Any

from lightning.pytorch.cli import LightningArgumentParser

from rnn_lab import training
from rnn_lab.commands._parsing import ConciseErrorsMixin
from rnn_lab.commands._wandb import HELP
from rnn_lab.errors import UserError

TRAINER_DEFAULTS: dict[str, Any] = {
    "max_epochs": 20,
    "gradient_clip_val": 1.0,
    "log_every_n_steps": 10,
    "use_distributed_sampler": False,  # the data modules shard their batches
    "enable_model_summary": False,
    "logger": False,  # metrics.csv is always written, see instantiate_trainer
    "num_sanity_val_steps": 0,
}


class LabParser(ConciseErrorsMixin, LightningArgumentParser):
    """Lightning's parser with concise errors."""


def add_run_options(parser: LightningArgumentParser) -> None:
    """Add options of the run directory, of initial weights and of standard callbacks."""
    parser.add_argument(
        "--experiment",
        type=str | None,
        help="folder in runs/; if omitted, the name of the data",
    )
    parser.add_argument(
        "--name", type=str | None, help="name of the run directory; if omitted, MODEL-N"
    )
    parser.add_argument(
        "--seeds", type=str | None, help="train a run for each of these random seeds, such as 1,2,3"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, help="runs of --seeds to train at the same time"
    )
    parser.add_argument(
        "--overwrite", type=bool, default=False, help="remove an existing run of the same name"
    )
    parser.add_argument(
        "--test", type=bool, default=False, help="test the best checkpoint after fit"
    )
    parser.add_argument("--wandb", type=bool | str | None, help=HELP)
    parser.add_argument(
        "--init_from", type=str | None, help="checkpoint with initial weights and vocabulary"
    )
    parser.add_argument(
        "--ensemble",
        type=list[str] | None,
        help="checkpoints of further translation models whose probabilities are averaged with "
        "those of --ckpt_path (test and validate only)",
    )
    parser.add_lightning_class_args(training.BestCheckpoint, "checkpoint")
    parser.add_lightning_class_args(training.ValidationEarlyStopping, "early_stopping")


def check_run_options(command: str, config: Any) -> None:
    """Check options that another command has, or that are handled before.

    Args:
        command: `fit`, `validate` or `test`.
        config: Its config.

    Raises:
        UserError: If one is set.
    """
    if config.seeds or config.jobs != 1:  # `fit` handles them on the command line
        raise UserError("--seeds and --jobs are options of the command line of fit alone")
    if command == "fit" and config.ensemble:
        raise UserError("--ensemble is only supported by test and validate")
