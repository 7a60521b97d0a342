"""Plan the runs of a job: `fit` up to the point where it would instantiate something."""

import os
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from lightning.pytorch.cli import ArgsType, LightningArgumentParser

from rnn_lab.commands import _grid as grid
from rnn_lab.commands._checks import argument_names, chosen_class, class_of
from rnn_lab.commands._cli import LabCLI
from rnn_lab.commands._declared_options import declared_options
from rnn_lab.commands._help import COMMANDS
from rnn_lab.commands._parsing import split_options, value_of
from rnn_lab.commands._spelling import HELP_HINT, check_known, nested_names
from rnn_lab.errors import UserError
from rnn_lab.training.runs import RUN_DIR_ENV, create_next_run_dir, next_run_name

# Arguments of data modules that are paths of files.
FILES = ("train", "valid", "test", "file", "vocab_from_checkpoint")
ACTIONS = "_option_string_actions"  # attribute of a parser
Options = list[list[str]]  # options of `fit` with their values


class Run(NamedTuple):
    """One run of a job.

    Attributes:
        folder: The run directory.
        options: Options of `fit` for this run only.
        resume_from: The checkpoint to resume from; empty for a new run.
        overwrite: If True, an earlier run is removed first.
    """

    folder: Path
    options: Options
    resume_from: str
    overwrite: bool


class Plan(NamedTuple):
    """All runs of a job.

    Attributes:
        folder: Folder of script and log.
        options: Options of `fit` for all runs.
        runs: The runs; of an array, one per task.
    """

    folder: Path
    options: Options
    runs: list[Run]


class FitDryRun(LabCLI):
    """Parse and validate the options of `fit` and choose the run's name, without instantiation.

    Args:
        options: Options of `fit`.
        suffix: Suffix of the run's name.
        reserved: Holds the folder of a run without a name, which is created, until another file
            is in it; None to create no folder.

    Attributes:
        command: The command that runs `fit` later.
        unknown: Where its options are shown, for the message about an unknown one.
        base: The name without the suffix; None if the run directory was given as a path.
    """

    command = "fit --seeds"
    unknown = HELP_HINT

    def __init__(
        self, options: Options, suffix: str = "", reserved: ExitStack | None = None
    ) -> None:
        self.suffix, self._reserved = suffix, reserved
        self.base: str | None = None
        super().__init__(["fit", *(arg for option in options for arg in option)])

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Report options that neither the command nor `fit` has, then parse."""
        assert isinstance(args, Sequence)
        options, actions = split_options(args[1:]), vars(self._parser(args[0]))[ACTIONS]
        classes = class_of(options, self.named_classes.get)
        nested, known = nested_names(actions), [*actions, *self.own_options()]
        check_known(options, known, nested, lambda: argument_names(classes), self.unknown)
        super().parse_arguments(parser, args)

    def own_options(self) -> list[str]:
        """Return the options of the command that are not passed to `fit`."""
        return []

    def before_instantiate_classes(self) -> None:
        """Validate as `fit` does, for a run that the same command can resume."""
        config = self.config["fit"]
        if config.trainer.fast_dev_run:
            raise UserError(f"fast_dev_run is not supported by {self.command}: use rnn-lab fit")
        if config.ckpt_path not in (None, "last"):
            raise UserError(
                "each run resumes from its own last checkpoint: instead of --ckpt_path give the "
                "--name of the run to resume, or --init_from to start from other weights"
            )
        run_dir = config.trainer.default_root_dir
        if run_dir and self.suffix:
            raise UserError(f"several runs cannot share {run_dir}: give --name instead")
        if not run_dir:
            self._choose_name(config)
        config.ckpt_path = None if config.overwrite else "last"
        super().before_instantiate_classes()
        os.environ.pop(RUN_DIR_ENV, None)

    def _choose_name(self, config: Any) -> None:
        config.experiment = config.experiment or chosen_class(config, "data").__name__
        self.base = config.name or self._new_name(
            Path("runs", config.experiment), chosen_class(config, "model").__name__
        )
        config.name = self.base + self.suffix

    def _new_name(self, parent: Path, model: str) -> str:
        if self._reserved is None:
            return next_run_name(parent, model)
        lock = create_next_run_dir(parent, model)
        self._reserved.callback(lock.release)
        return lock.folder.name

    def _set_seed(self) -> None:
        """Do nothing: no random numbers are used."""

    def instantiate_classes(self) -> None:
        """Instantiate only the data module, to check that its files exist."""
        config = self.config["fit"]
        data, arguments = chosen_class(config, "data"), config.data.init_args.as_dict()
        try:
            data(**arguments)
        except ValueError as error:
            raise UserError(str(error)) from error
        for name in (name for name in FILES if name in data.machine_specific):
            paths = arguments[name] if isinstance(arguments[name], list) else [arguments[name]]
            for path in paths:
                if path is not None and not Path(path).expanduser().exists():
                    raise UserError(f"--data.{name}: {path} does not exist")

    def _run_subcommand(self, subcommand: str) -> None:
        """Do nothing: it runs later."""


class SubmitDryRun(FitDryRun):
    """Parse and validate the options of `fit` on the command line of `submit`."""

    command = "submit"
    unknown = (
        "`rnn-lab submit --help` and `rnn-lab fit --help` show the options; "
        "those of sbatch follow --sbatch, as in --sbatch=--exclusive"
    )

    def own_options(self) -> list[str]:
        """Return the options of `submit`."""
        return [name for each in declared_options(COMMANDS / "submit.py") for name in each.names]


def make_plan(args: Namespace, options: Options, reserved: ExitStack | None = None) -> Plan:
    """Validate each run as `fit` would, and determine its options.

    Args:
        args: Options of `submit`.
        options: Options of `fit`.
        reserved: Holds the folder of a run without a name, which is created, until another file
            is in it; None to create no folder.

    Raises:
        UserError: If a run is invalid.
    """
    points = grid.read(args.array) if args.array else [{}]
    suffixes = grid.suffixes(points) if args.array else [""]
    runs: list[Run] = []
    names: Options = []  # set by the first run
    folder, strategies = Path(), set()
    for point, suffix in zip(points, suffixes, strict=True):
        own = grid.options_of(point)
        check_consistent(args, [*options, *own])
        dry_run = SubmitDryRun([*options, *own, *names], suffix, reserved)
        config = dry_run.config["fit"]
        check_accelerator(args, config.trainer.accelerator)
        run_dir = Path(config.trainer.default_root_dir)
        folder = run_dir
        if dry_run.base is not None:
            folder = run_dir.with_name(dry_run.base)
            names = [[f"--experiment={config.experiment}"], [f"--name={dry_run.base}"]]
            own.append([f"--name={config.name}"])
        runs.append(Run(run_dir, own, config.ckpt_path or "", config.overwrite))
        strategies.add(str(config.trainer.strategy))
    fixed = [*names[:1], *_job_options(args, any(run.overwrite for run in runs))]
    if args.nodes * args.tasks_per_node > 1 and strategies == {"auto"}:
        fixed.append(["--trainer.strategy=ddp"])
    keys = {key_of(option) for option in fixed} | {"--name", "--overwrite"}
    others = [option for option in options if key_of(option) not in keys]
    return Plan(folder, [*others, *fixed], runs)


def _job_options(args: Namespace, overwrite: bool) -> Options:
    """Return the options of `fit` that the job determines."""
    values = {
        "ckpt_path": "last",
        "trainer.num_nodes": args.nodes,
        "trainer.devices": args.tasks_per_node,
        "trainer.accelerator": "gpu" if args.gpus_per_node else "cpu",
    }
    if overwrite:  # done at submission
        values["overwrite"] = "false"
    return [[f"--{key}={value}"] for key, value in values.items()]


def check_consistent(args: Namespace, options: Options) -> None:
    """Check that the Trainer uses the nodes and processes of the job.

    Raises:
        UserError: If options of `fit` contradict those of `submit`.
    """
    processes = "gpus" if args.gpus_per_node else "tasks"
    determined: dict[str, tuple[str, Sequence[str]]] = {
        "--trainer.num_nodes": (f"--nodes={args.nodes}", [str(args.nodes)]),
        "--trainer.devices": (
            f"--{processes}-per-node={args.tasks_per_node}",
            [str(args.tasks_per_node)],
        ),
        "--trainer.accelerator": (f"--gpus-per-node={args.gpus_per_node}", _accelerators(args)),
    }
    for option in options:
        own, allowed = determined.get(key_of(option), ("", []))
        if own and value_of(option) not in allowed:
            raise UserError(
                f"{key_of(option)}={value_of(option)} contradicts {own}: remove it, or set "
                f"{own.partition('=')[0]}"
            )


def _accelerators(args: Namespace) -> Sequence[str]:
    return ["gpu", "cuda", "auto"] if args.gpus_per_node else ["cpu", "auto"]


def check_accelerator(args: Namespace, accelerator: object) -> None:
    """Check that the Trainer does not choose another accelerator than the job has.

    Raises:
        UserError: If it does.
    """
    if accelerator not in _accelerators(args):
        hint = "remove it" if args.gpus_per_node else "give --gpus-per-node=NUMBER"
        raise UserError(
            f"trainer.accelerator={accelerator} contradicts "
            f"--gpus-per-node={args.gpus_per_node}: {hint}"
        )


def key_of(option: list[str]) -> str:
    """Return the name of an option."""
    return option[0].partition("=")[0]
