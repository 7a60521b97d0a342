"""`rnn-lab fit | validate | test`: LightningCLI with the precedence that people expect."""

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch.distributed
import yaml
from jsonargparse import set_parsing_settings
from lightning import Trainer
from lightning.fabric.plugins import CheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.rank_zero import _get_rank
from lightning.pytorch.callbacks import Callback, WeightAveraging
from lightning.pytorch.cli import (
    ArgsType,
    LightningArgumentParser,
    LightningCLI,
)

from rnn_lab import training
from rnn_lab.commands._checks import (
    check_arguments,
    check_fit,
    check_names,
    check_same,
    class_of,
    linked,
    part,
    refusal_named,
)
from rnn_lab.commands._named_classes import NamedClasses
from rnn_lab.commands._parsing import ConciseErrorsMixin, in_order, split_options, value_of
from rnn_lab.commands._run_config import RunConfig
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.core.loading import load_weights
from rnn_lab.core.task import Task
from rnn_lab.errors import UserError
from rnn_lab.tasks.translation.models import Translator
from rnn_lab.tasks.translation.predictor import load_ensemble
from rnn_lab.training.checkpoints import find_resume_checkpoint
from rnn_lab.training.runs import (
    RUN_DIR_ENV,
    ensure_unused,
    new_run_dir,
    prepare_run_dir,
    run_dir_of,
)

log = logging.getLogger("rnn_lab")
TRAINER_DEFAULTS: dict[str, Any] = {
    "max_epochs": 20,
    "gradient_clip_val": 1.0,
    "log_every_n_steps": 10,
    "use_distributed_sampler": False,  # the data modules shard their batches themselves
    "enable_model_summary": False,
    "logger": False,  # metrics.csv is always written, see instantiate_trainer
    "num_sanity_val_steps": 0,
}


def main(args: Sequence[str]) -> None:
    """Run `fit`, `validate` or `test`.

    Args:
        args: Words of the command line, the subcommand first.

    Raises:
        UserError: If something that the user gave is wrong.
        SystemExit: With status 2 if the command line cannot be read.
    """
    _tell_on_standard_error()
    set_parsing_settings(import_path_denylist=[])  # with its own list, which else only warns
    LabCLI(args)
    if torch.distributed.is_initialized():
        # Else threads of it outlive the interpreter, and now and then abort a run that is done.
        torch.distributed.destroy_process_group()


class OneLineParser(ConciseErrorsMixin, LightningArgumentParser):
    """Lightning's parser with errors of one line."""


class LabCLI(LightningCLI):
    """The command line: a checkpoint is overruled by config files, these by the line.

    Args:
        args: Words of the command line, the subcommand first.
    """

    def __init__(self, args: Sequence[str]) -> None:
        options = split_options(args[1:])
        self.named = named = NamedClasses(args[0], options)
        self.opened = named.checkpoint  # held until it is loaded
        super().__init__(
            named.model_base,
            named.data_base,
            RunConfig,
            trainer_defaults=dict(TRAINER_DEFAULTS),
            seed_everything_default=42,
            parser_class=OneLineParser,
            subclass_mode_model=True,
            subclass_mode_data=True,
            args=list(args),
            auto_configure_optimizers=False,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The subcommands, and the arguments of the Trainer's methods that are ours to give."""
        ours = {"model", "datamodule", "dataloaders", "train_dataloaders", "val_dataloaders"}
        return {name: {*ours, "weights_only"} for name in ("fit", "validate", "test")}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the run's folder and the callbacks that every run has, link sizes to the data."""
        for name in linked():
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")
        parser.add_argument(
            "--experiment", type=str | None, help="folder below runs; the data's name if not given"
        )
        parser.add_argument(
            "--name", type=str | None, help="folder of the run; MODEL-N if not given"
        )
        parser.add_argument(
            "--overwrite", type=bool, default=False, help="remove a run of the same name"
        )
        parser.add_argument(
            "--test", type=bool, default=False, help="after fit, test the best checkpoint"
        )
        parser.add_argument(
            "--init_from", type=str | None, help="checkpoint to take weights and vocabulary from"
        )
        parser.add_argument(
            "--ensemble",
            type=list[str] | None,
            help="in test and validate, checkpoints of further translators whose probabilities "
            "are averaged with those of --ckpt_path",
        )
        parser.add_lightning_class_args(training.BestCheckpoint, "checkpoint")
        parser.add_lightning_class_args(training.ValidationEarlyStopping, "early_stopping")

    # From words to a config.

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Read checkpoint, config files and line, the later ones overruling the earlier."""
        assert isinstance(args, Sequence)
        command, options = args[0], split_options(args[1:])
        check_names(options)
        keys = {option[0].partition("=")[0] for option in options}
        if command != "fit" and not keys & {"--ckpt_path", "--help", "-h"}:
            raise UserError(f"{command} needs --ckpt_path: random weights tell nothing")
        base = self._checkpoint_config()
        check_arguments(options, self.named.get)
        unnamed = not base and not keys & {"-c", "--config", "--model.optimizer"}
        if unnamed and any(key.startswith("--model.optimizer.") for key in keys):
            options.append(["--model.optimizer=torch.optim.Adam"])  # what None stands for
        words = [f"--config={json.dumps(base)}"] if base else []
        words += [word for option in in_order(options) for word in option]
        try:
            self.config = parser.parse_args([command, *words])
        except UnicodeDecodeError as error:
            named = [value_of(o) for o in options if o[0].split("=")[0] in ("-c", "--config")]
            raise UserError(f"{' or '.join(named)} is not utf-8: {error}") from error

    def _checkpoint_config(self) -> dict[str, Any]:
        """What the checkpoint that is named on the line states about model and data."""
        if self.opened is None:
            return {}
        config = {"model": part(self.opened.model, linked())}
        if self.opened.has_data:
            config["data"] = part(self.opened.data)
            argument = getattr(self.opened.data_class, "checkpoint_argument", None)
            if argument is not None:
                config["data"]["init_args"][argument] = self.opened.path
        try:
            json.dumps(config)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{self.opened.path} holds arguments that no config can hold: {error}"
            ) from error
        return config

    def _parse_ckpt_path(self) -> None:
        """Nothing: `parse_arguments` has read the checkpoint, below all else."""

    # From a config to a run.

    def before_instantiate_classes(self) -> None:
        """Refuse what cannot work before anything is built, and choose the run's folder."""
        config = self.config[self.subcommand]
        model, data = class_of(config, "model"), class_of(config, "data")
        if issubclass(model, Task) and issubclass(data, LabDataModule):
            check_fit(model, data)
        if not issubclass(data, LabDataModule):  # Lightning has to shard its batches
            config.trainer.use_distributed_sampler = True
        if self.subcommand == "fit" and config.ensemble:
            raise UserError("an ensemble is tested, not trained: leave --ensemble out")
        goes_on = self.subcommand == "fit" and config.ckpt_path == "last"
        if goes_on:
            config.ckpt_path = self._last(config, model, data)
        started_from = config.ckpt_path or config.init_from
        if started_from and self.opened is None:  # a config names it, not the line
            self.opened = Checkpoint.open(started_from)
        if config.ckpt_path and self.opened is not None:
            check_same(self.opened, self._plain_config()["model"], self.subcommand == "fit")
        if not config.trainer.fast_dev_run:
            config.trainer.default_root_dir = str(self._folder(config, model, data, goes_on))

    def _last(self, config: Any, model: type, data: type) -> str | None:
        if config.name is None and config.trainer.default_root_dir is None:
            raise UserError("--ckpt_path=last needs --name: which run is to go on?")
        folder = config.trainer.default_root_dir or new_run_dir(
            config.experiment or data.__name__, config.name, model.__name__
        )
        self.opened = find_resume_checkpoint(Path(folder, "checkpoints"))
        return self.opened.path if self.opened else None

    def _folder(self, config: Any, model: type, data: type, goes_on: bool) -> Path:
        if int(os.environ.get("LOCAL_RANK", "0")) > 0 and RUN_DIR_ENV in os.environ:
            return Path(os.environ[RUN_DIR_ENV])
        folder = Path(
            config.trainer.default_root_dir
            or (not config.name and config.ckpt_path and run_dir_of(Path(config.ckpt_path)))
            or new_run_dir(config.experiment or data.__name__, config.name, model.__name__)
        )
        if config.ensemble and not config.trainer.default_root_dir:
            folder = folder / "ensemble"  # beside the results of the one model
        if self.subcommand == "fit" and not config.ckpt_path and not config.overwrite:
            ensure_unused(folder, started=goes_on)
        os.environ[RUN_DIR_ENV] = str(folder)
        return folder

    def instantiate_classes(self) -> None:
        """Build data, model and Trainer; what a constructor refuses is the user's mistake."""
        try:
            super().instantiate_classes()
            config = self.config[self.subcommand]
            if isinstance(self.model, Task):
                self.model.check_data(self.datamodule)
                self.model.writes_reports = True
            if self.opened is not None:  # see that it fits before a file is written
                load_weights(self.model, self.opened)
                self.opened = self.named.checkpoint = None
            if isinstance(self.datamodule, LabDataModule):
                if self.subcommand == "fit":
                    self.datamodule.split("train")
                if config.test:
                    self.datamodule.split("test")  # miss it before training, not after
        except UserError:
            raise
        except (MisconfigurationException, FileNotFoundError) as error:
            raise UserError(str(error)) from error
        except ValueError as error:  # the parser wraps what a constructor raises
            cause = error.__cause__ if isinstance(error.__cause__, ValueError) else error
            raise UserError(str(cause)) from error

    def _run_subcommand(self, subcommand: str) -> None:
        try:
            with refusal_named(self.config[subcommand].ckpt_path):
                super()._run_subcommand(subcommand)
        except SystemExit as stop:  # how Lightning leaves when it was interrupted
            if not self.trainer.interrupted:
                raise
            raise KeyboardInterrupt from stop
        except (MisconfigurationException, FileNotFoundError) as error:
            raise UserError(str(error)) from error
        except RuntimeError as error:
            if "Early stopping conditioned on" in str(error):
                raise UserError(str(error)) from error
            raise

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the Trainer with the callbacks and loggers that every run has."""
        trainer = super().instantiate_trainer(**kwargs)
        if self.config[self.subcommand].trainer.limit_val_batches == 0:
            trainer.limit_val_batches = 0  # fast_dev_run would overrule it
        name = "metrics.csv" if self.subcommand == "fit" else f"metrics.{self.subcommand}.csv"
        training.configure_loggers(trainer, name)
        return trainer

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        if config["enable_checkpointing"] is False or config["fast_dev_run"]:
            callbacks = [c for c in callbacks if not isinstance(c, training.BestCheckpoint)]
        unwatched = not self.config[self.subcommand].early_stopping.monitor
        if unwatched and not hasattr(self.model, "monitor"):
            callbacks = [
                c for c in callbacks if not isinstance(c, training.ValidationEarlyStopping)
            ]
        if config["enable_progress_bar"] is not False:
            callbacks = [*callbacks, training.BatchProgressBar()]
        if self.subcommand != "fit":  # a checkpoint's weights are averaged already
            given = config["callbacks"] or []
            config["callbacks"] = [c for c in given if not isinstance(c, WeightAveraging)]
        given = config["plugins"] or []
        given = given if isinstance(given, list) else [given]
        if not any(isinstance(plugin, CheckpointIO) for plugin in given):
            config["plugins"] = [*given, self._checkpoint_io()]
        watchers = [training.GradNormAndLRMonitor(), training.TerminateOnNaN()]
        watchers += [training.RNGStateCheckpoint(), training.ResumeMidEpoch()]
        watchers += [training.Preemption(), training.StatusFile(), training.LearningCurves()]
        try:
            trainer = super()._instantiate_trainer(config, [*callbacks, *watchers])
        except RuntimeError as error:  # what Lightning says of settings of SLURM
            raise UserError(str(error)) from error
        training.check_world_size(trainer)
        return trainer

    def _plain_config(self) -> dict[str, Any]:
        """The config of the subcommand as plain values, as a file has them."""
        config = self.config[self.subcommand]
        return yaml.safe_load(self._parser(self.subcommand).dump(config, skip_unset=False))

    def _checkpoint_io(self) -> CheckpointIO:
        """Build what writes checkpoints, and reads the one that is resumed."""
        config = self.config[self.subcommand]
        resumed = self.opened if config.ckpt_path else None
        if isinstance(self.model, Task):
            return training.AtomicCheckpointIO(resumed)
        plain = self._plain_config()
        return training.AtomicCheckpointIO(
            resumed, specs={key: plain[key] for key in ("model", "data")}
        )

    def before_fit(self) -> None:
        """Take the run's folder."""
        config = self.config["fit"]
        if not (config.ckpt_path or config.trainer.fast_dev_run or _get_rank()):
            prepare_run_dir(Path(config.trainer.default_root_dir))
        self._announce()
        self._began = time.monotonic()

    def _announce(self) -> None:
        """Say what begins, and where it is written."""
        parameters = sum(p.numel() for p in self.model.parameters())
        dry = self.config[self.subcommand].trainer.fast_dev_run
        log.info(
            "%s (%s parameters) on %s -> %s",
            type(self.model).__name__,
            f"{parameters:,}",
            type(self.datamodule).__name__,
            "nowhere" if dry else self.trainer.default_root_dir,
        )
        if self.subcommand == "fit" and not isinstance(self.datamodule, LabDataModule):
            name = type(self.datamodule).__name__
            log.info("%s is no LabDataModule: the run resumes at the end of an epoch only", name)

    def _join(self) -> None:
        """Take in the other translators of an ensemble, and say what begins."""
        config = self.config[self.subcommand]
        if config.ensemble:
            if not isinstance(self.model, Translator):
                raise UserError("only translators go together: leave --ensemble out")
            self.model.partners = load_ensemble(Checkpoint.open(config.ckpt_path), config.ensemble)
        self._announce()

    before_validate = before_test = _join

    def after_fit(self) -> None:
        """Say what came of it; with `--test=true` test the best checkpoint."""
        seconds = time.monotonic() - self._began
        keeper = self.trainer.checkpoint_callback
        best = getattr(keeper, "best_model_path", "")
        log.info("trained for %.0f seconds; best checkpoint: %s", seconds, best or "none kept")
        if self.config["fit"].test:
            # Averaging would load the weights before averaging, to train on with them.
            given: list[Callback] = vars(self.trainer)["callbacks"]
            given[:] = [c for c in given if not isinstance(c, WeightAveraging)]
            self.trainer.test(self.model, self.datamodule, ckpt_path=best or None)


def _tell_on_standard_error() -> None:
    """Let our messages through and silence what Lightning tells newcomers."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    log.setLevel(logging.INFO if not _get_rank() else logging.ERROR)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")  # none is needed
    warnings.filterwarnings("ignore", ".*is smaller than the logging interval")  # epochs count
    warnings.filterwarnings("ignore", ".*LeafSpec.*")  # of Lightning's own code
    warnings.filterwarnings(
        "ignore", ".*srun.* is available on your system"
    )  # see check_world_size
    warnings.filterwarnings("ignore", ".*callbacks used to create the checkpoint.*")  # as they were
