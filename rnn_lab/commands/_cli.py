"""`rnn-lab fit | validate | test`: LightningCLI with checkpoint < config files < command line."""

import json
import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch.distributed
import yaml
from jsonargparse import set_parsing_settings
from lightning import Trainer
from lightning.fabric.plugins import CheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.rank_zero import _get_rank
from lightning.pytorch.callbacks import BatchSizeFinder, Callback, WeightAveraging
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from rnn_lab import training
from rnn_lab.commands import _run_options as run_options
from rnn_lab.commands._arguments import check_required
from rnn_lab.commands._checks import (
    argument_names,
    check_arguments,
    check_batch_type,
    check_fitted,
    check_layer,
    check_max_epochs,
    check_names,
    check_same_model,
    chosen_class,
    class_of,
    linked_names,
    named_error,
    reason_of,
    without_links,
)
from rnn_lab.commands._class_paths import default_optimizer
from rnn_lab.commands._configs import read_options
from rnn_lab.commands._ending import plain_metrics, print_metrics, validation_metrics
from rnn_lab.commands._failures import FirstFailure, failures_named
from rnn_lab.commands._finders import check_finders, reuse_found
from rnn_lab.commands._logging import configure_logging
from rnn_lab.commands._named_classes import NamedClasses
from rnn_lab.commands._next_commands import next_commands, resume_command, status_command
from rnn_lab.commands._parsing import (
    sort_by_precedence,
    split_options,
    value_of,
)
from rnn_lab.commands._plateau import resolve_plateau
from rnn_lab.commands._run_checkpoint import resolve_run_checkpoint
from rnn_lab.commands._run_config import RunConfig
from rnn_lab.commands._run_dir import choose_run_dir
from rnn_lab.commands._spelling import as_annotated, as_declared, check_known, nested_names
from rnn_lab.commands._trainer_parts import with_checkpoint_io, with_standard_callbacks, without
from rnn_lab.commands._wandb import with_wandb
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.cpu import configure_cpu
from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.core.loading import check_sizes, load_weights
from rnn_lab.core.task import Monitored, Task
from rnn_lab.errors import UserError
from rnn_lab.tasks.translation.predictor import load_ensemble
from rnn_lab.tasks.translation.task import TranslationTask
from rnn_lab.training.checkpoints import find_resume_checkpoint
from rnn_lab.training.runs import ensure_unused, prepare_run_dir

log = logging.getLogger("rnn_lab")


def main(args: Sequence[str]) -> None:
    """Run `fit`, `validate` or `test`.

    Args:
        args: Command-line arguments, the subcommand first.

    Raises:
        UserError: If the user input is invalid.
        SystemExit: With status 2 if the command line is invalid.
    """
    configure_logging()
    configure_cpu()
    set_parsing_settings(import_path_denylist=[])  # explicit, since the default only warns
    with ExitStack() as locks:
        LabCLI(args, locks)
    if torch.distributed.is_initialized():
        # Else its threads outlive the interpreter and occasionally abort a finished run.
        torch.distributed.destroy_process_group()


class LabCLI(LightningCLI):
    """LightningCLI where config files override the checkpoint, and the command line overrides both.

    Args:
        args: Command-line arguments, the subcommand first.
        locks: Holds the lock of the run folder while the command runs; None to lock nothing.
    """

    def __init__(self, args: Sequence[str], locks: ExitStack | None = None) -> None:
        self._locks, self._command = locks, args[0]
        options = resolve_plateau(read_options(args[1:]))
        options = resolve_run_checkpoint(args[0], options)
        self.named_classes = named = NamedClasses(args[0], options)
        self.checkpoint = named.checkpoint  # referenced until it is loaded
        super().__init__(
            named.model_base,
            named.data_base,
            RunConfig,
            trainer_defaults=dict(run_options.TRAINER_DEFAULTS),
            seed_everything_default=42,
            parser_class=run_options.LabParser,
            parser_kwargs={"prog": "rnn-lab"},
            subclass_mode_model=True,
            subclass_mode_data=True,
            args=[args[0], *(arg for option in options for arg in option)],
            auto_configure_optimizers=False,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Return the subcommands and the arguments of the Trainer's methods that are no options."""
        hidden = {"model", "datamodule", "dataloaders", "train_dataloaders", "val_dataloaders"}
        return {name: {*hidden, "weights_only"} for name in ("fit", "validate", "test")}

    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **kwargs: Any
    ) -> LightningArgumentParser:
        """Create the parser of a subcommand, without options if it is not the one that runs."""
        if subcommand != self._command:
            return self.init_parser(**kwargs)
        return super()._prepare_subcommand_parser(klass, subcommand, **kwargs)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add options of the run directory and of standard callbacks; link sizes to the data."""
        for name in linked_names():
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")
        run_options.add_run_options(parser)

    # From the command line to a config.

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse checkpoint, config files and command line; later ones override earlier ones."""
        assert isinstance(args, Sequence)
        command, options = args[0], split_options(args[1:])
        check_names(options)
        check_required(command, options)
        base = self._checkpoint_config()
        actions = vars(self._parser(command))["_option_string_actions"]
        classes = class_of(options, self.named_classes.get)
        check_known(options, actions, nested_names(actions), lambda: argument_names(classes))
        check_arguments(options, classes)
        check_fitted(options, self.checkpoint)
        options = as_annotated(as_declared(options, actions), classes)
        if not base:
            options += default_optimizer(options)
        ordered = [f"--config={json.dumps(base)}"] if base else []
        ordered += [arg for option in sort_by_precedence(options) for arg in option]
        try:
            self.config = parser.parse_args([command, *ordered])
        except UnicodeDecodeError as error:
            paths = [value_of(o) for o in options if o[0].split("=")[0] in ("-c", "--config")]
            raise UserError(f"{' or '.join(paths)} is not utf-8: {error}") from error

    def _checkpoint_config(self) -> dict[str, Any]:
        """Return the config of model and data in the checkpoint given on the command line."""
        if self.checkpoint is None:
            return {}
        config = {"model": without_links(self.checkpoint.model, linked_names())}
        if self.checkpoint.has_data:
            config["data"] = without_links(self.checkpoint.data)
            argument = getattr(self.checkpoint.data_class, "checkpoint_argument", None)
            if argument is not None:
                config["data"]["init_args"][argument] = self.checkpoint.path
        try:
            json.dumps(config)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{self.checkpoint.path} has arguments that a config cannot represent: {error}"
            ) from error
        return config

    def _parse_ckpt_path(self) -> None:
        """Do nothing: `parse_arguments` applies the checkpoint with the lowest precedence."""

    # From a config to a run.

    def before_instantiate_classes(self) -> None:
        """Validate the config before anything is instantiated, and choose the run directory."""
        config = self.config[self.subcommand]
        model, data = chosen_class(config, "model"), chosen_class(config, "data")
        if issubclass(model, Task) and issubclass(data, LabDataModule):
            check_batch_type(model, data)
        check_layer(model, config.model.get("init_args"))
        if not issubclass(data, LabDataModule):  # Lightning must shard its batches
            config.trainer.use_distributed_sampler = True
        run_options.check_run_options(str(self.subcommand), config)
        dry_run, resume = config.trainer.fast_dev_run, config.ckpt_path == "last"
        if dry_run and not resume:
            self._open_checkpoint(config, Path())
            return
        names, locks = (model.__name__, data.__name__), None if dry_run else self._locks
        folder = choose_run_dir(str(self.subcommand), config, *names, locks)
        self._open_checkpoint(config, folder)
        if dry_run:
            return
        if self.subcommand == "fit" and not config.ckpt_path and not config.overwrite:
            ensure_unused(folder, started=resume)
        config.trainer.default_root_dir = str(folder)

    def _open_checkpoint(self, config: Any, folder: Path) -> None:
        """Open the checkpoint, with `--ckpt_path=last` that of the run folder, and check it."""
        if self.subcommand == "fit" and config.ckpt_path == "last":
            self.checkpoint = find_resume_checkpoint(folder / "checkpoints")
            config.ckpt_path = self.checkpoint.path if self.checkpoint else None
        path = config.ckpt_path or config.init_from
        if path and self.checkpoint is None:  # given in a config file
            self.checkpoint = Checkpoint.open(path)
        if config.ckpt_path and self.checkpoint is not None:
            if self.subcommand == "fit":
                reuse_found(config, self.checkpoint)
                check_max_epochs(self.checkpoint, config.trainer.max_epochs)
            requested = self._plain_config()["model"]
            check_same_model(self.checkpoint, requested, resume=self.subcommand == "fit")

    def instantiate_classes(self) -> None:
        """Instantiate data, model and Trainer; errors of constructors become user errors."""
        try:
            if self.checkpoint is not None:  # before memory is allocated for its sizes
                check_sizes(self.checkpoint)
            super().instantiate_classes()
            config = self.config[self.subcommand]
            if isinstance(self.model, Task):
                self.model.check_data(self.datamodule)
                self.model.writes_reports = True
            if self.checkpoint is not None:  # fail before any file is written
                load_weights(self.model, self.checkpoint)
                self.checkpoint = self.named_classes.checkpoint = None
            if isinstance(self.datamodule, LabDataModule):
                if self.subcommand == "fit":
                    self.datamodule.split("train")
                if config.test:
                    self.datamodule.split("test")  # fail before training, not after
        except UserError:
            raise
        except (MisconfigurationException, FileNotFoundError) as error:
            raise UserError(str(error)) from error
        except (ValueError, RuntimeError) as error:  # the parser wraps errors of constructors
            raise UserError(reason_of(error)) from error

    def _run_subcommand(self, subcommand: str) -> None:
        try:
            path = self.config[subcommand].ckpt_path
            with failures_named(self._first_failure), named_error(path):
                super()._run_subcommand(subcommand)
        except SystemExit as stop:  # Lightning exits when interrupted
            if not self.trainer.interrupted:
                raise
            folder = Path(self.trainer.default_root_dir)
            raise KeyboardInterrupt(resume_command(folder) * (subcommand == "fit")) from stop

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Instantiate the Trainer with the standard callbacks and loggers."""
        trainer = super().instantiate_trainer(**kwargs)
        if self.config[self.subcommand].trainer.limit_val_batches == 0:
            trainer.limit_val_batches = 0  # fast_dev_run would override it
        name = "metrics.csv" if self.subcommand == "fit" else f"metrics.{self.subcommand}.csv"
        training.configure_loggers(trainer, name, job_type=self.subcommand)
        return trainer

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        no_monitor = not self.config[self.subcommand].early_stopping.monitor
        if no_monitor and not isinstance(self.model, Monitored):
            callbacks = without(training.ValidationEarlyStopping, callbacks)
        config["logger"] = with_wandb(self.config[self.subcommand].wandb, config["logger"])
        if self.subcommand != "fit":  # the weights of a checkpoint are averaged already
            config["callbacks"] = without(WeightAveraging, config["callbacks"] or [])
        config["profiler"] = config["profiler"] or training.NoProfiler()
        config["plugins"] = with_checkpoint_io(config["plugins"], self._checkpoint_io)
        self._completion, self._status_file = training.Completion(), training.StatusFile()
        callbacks = with_standard_callbacks(callbacks, config)
        callbacks += [self._completion, training.Preemption(), self._status_file]
        self._first_failure = FirstFailure()
        callbacks += [training.LearningCurves(), training.CostRecord(), self._first_failure]
        try:
            trainer = super()._instantiate_trainer(config, callbacks)
        except RuntimeError as error:  # Lightning rejects the SLURM settings
            raise UserError(str(error)) from error
        training.check_world_size(trainer)
        if self.subcommand == "fit":
            check_finders(trainer, self.model, self.datamodule)
        return trainer

    def _plain_config(self) -> dict[str, Any]:
        """Return the config of the subcommand as plain values, as in a config file."""
        config = self.config[self.subcommand]
        return yaml.safe_load(self._parser(self.subcommand).dump(config, skip_unset=False))

    def _checkpoint_io(self) -> CheckpointIO:
        """Create the plugin that writes checkpoints, and reads the one to resume from."""
        config = self.config[self.subcommand]
        resume_from = self.checkpoint if config.ckpt_path else None
        if isinstance(self.model, Task):
            return training.AtomicCheckpointIO(resume_from)
        return training.AtomicCheckpointIO(resume_from, self._specs)

    def _specs(self) -> dict[str, Any]:
        """Return the build specifications of model and data."""
        plain = self._plain_config()
        return {key: plain[key] for key in ("model", "data")}

    def before_fit(self) -> None:
        """Create the run directory and log the start."""
        config = self.config["fit"]
        if not (config.ckpt_path or config.trainer.fast_dev_run or _get_rank()):
            prepare_run_dir(Path(config.trainer.default_root_dir))
        self._log_start()
        self._start_time = time.monotonic()

    def _log_start(self) -> None:
        """Log model, data and the run directory."""
        parameters = sum(p.numel() for p in self.model.parameters())
        dry_run = self.config[self.subcommand].trainer.fast_dev_run
        log.info(
            "%s (%s parameters) on %s -> %s",
            type(self.model).__name__,
            f"{parameters:,}",
            type(self.datamodule).__name__,
            "(dry run, nothing is written)" if dry_run else self.trainer.default_root_dir,
        )
        if self.subcommand == "fit" and not isinstance(self.datamodule, LabDataModule):
            name = type(self.datamodule).__name__
            log.info("%s is not a LabDataModule: runs can only be resumed at epoch ends", name)

    def _load_ensemble(self) -> None:
        """Load the other models of an ensemble, and log the start."""
        config = self.config[self.subcommand]
        if config.ensemble:
            if not isinstance(self.model, TranslationTask):
                raise UserError("--ensemble is only supported for translation models")
            self.model.ensemble = load_ensemble(Checkpoint.open(config.ckpt_path), config.ensemble)
        self._log_start()

    before_validate = before_test = _load_ensemble

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """Return the arguments of the Trainer's method; it prints no table of metrics itself."""
        arguments = super()._prepare_subcommand_kwargs(subcommand)
        return arguments | ({"verbose": False} if "verbose" in arguments else {})

    def after_validate(self) -> None:
        """Print the metrics."""
        if self.config["validate"].verbose:
            print_metrics(self.trainer, {"val": plain_metrics(self.trainer)})

    def after_test(self) -> None:
        """Print the metrics."""
        config = self.config["test"]
        if config.verbose:
            print_metrics(self.trainer, {"test": plain_metrics(self.trainer)})
            self._log_next_commands(config.ckpt_path, tested=True)

    def after_fit(self) -> None:
        """Log the best checkpoint, with `--test=true` test it, and print the metrics."""
        callback = training.checkpoint_callback_of(self.trainer)
        best = getattr(callback, "best_model_path", "")
        if self._completion.reason:
            folder, reason = self.trainer.default_root_dir, self._completion.reason
            log.info("%s is complete, a larger limit would train it further: %s", folder, reason)
        else:
            seconds = time.monotonic() - self._start_time
            log.info("trained for %.0f seconds; best checkpoint: %s", seconds, best or "none")
        columns = validation_metrics(self.trainer)
        if self.config["fit"].test:
            columns |= self._test(best)
        print_metrics(self.trainer, columns)
        if best:
            self._log_next_commands(best, tested=self._status_file.tested)

    def _log_next_commands(self, checkpoint: str, tested: bool) -> None:
        """Log the commands that one is likely to type next."""
        data = self.config[self.subcommand].data.init_args.as_dict()
        commands = next_commands(self.model, self.datamodule, data, checkpoint, tested)
        commands.append(status_command(Path(self.trainer.default_root_dir)))
        log.info("\n".join(["next:", *(f"  {command}" for command in commands)]))

    def _test(self, best: str) -> dict[str, dict[str, float]]:
        """Test the best checkpoint, unless it was tested already, and return its metrics."""
        if self.trainer.strategy.broadcast(self._status_file.tested):
            log.info("it was tested already: the metrics are in metrics.csv")
            return {}
        # WeightAveraging would restore the weights before averaging, for further training.
        callbacks: list[Callback] = vars(self.trainer)["callbacks"]
        callbacks[:] = without((WeightAveraging, BatchSizeFinder), callbacks)
        self.trainer.test(self.model, self.datamodule, ckpt_path=best or None, verbose=False)
        return {"test": plain_metrics(self.trainer)}
