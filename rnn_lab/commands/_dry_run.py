"""What a job will train: `fit` up to the point where it would build something."""

import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rnn_lab.commands import _grid as grid
from rnn_lab.commands._checks import class_of
from rnn_lab.commands._cli import LabCLI
from rnn_lab.commands._parsing import value_of
from rnn_lab.errors import UserError
from rnn_lab.training.runs import RUN_DIR_ENV, next_run_name

FILES = (
    "train",
    "valid",
    "test",
    "file",
    "vocab_from_checkpoint",
)  # arguments of data that name files
Options = list[list[str]]  # of `fit`, each with its value


class Run(NamedTuple):
    """One run of a job.

    Attributes:
        folder: Where it lies.
        options: What `fit` is given for it alone.
        goes_on: The checkpoint from which it would go on; empty if it begins.
        overwrite: Whether an earlier run is removed first.
    """

    folder: Path
    options: Options
    goes_on: str
    overwrite: bool


class Plan(NamedTuple):
    """All runs of a job.

    Attributes:
        folder: Where script and log lie.
        options: What `fit` is given for every run.
        runs: The runs; of an array, one for each element.
    """

    folder: Path
    options: Options
    runs: list[Run]


class FitDryRun(LabCLI):
    """Reads and checks what `fit` is given, fixes the run's name, and builds nothing.

    Args:
        options: What `fit` is given.
        suffix: What is added to the name.

    Attributes:
        base: The name without the suffix; None where the folder was given whole.
    """

    def __init__(self, options: Options, suffix: str = "") -> None:
        self.suffix = suffix
        self.base: str | None = None
        super().__init__(["fit", *(word for option in options for word in option)])

    def before_instantiate_classes(self) -> None:
        """Check as `fit` does, for a run that the same command is to go on with."""
        config = self.config["fit"]
        if config.trainer.fast_dev_run:
            raise UserError("a fast_dev_run leaves nothing to go on from: run it with rnn-lab fit")
        if config.ckpt_path not in (None, "last"):
            raise UserError(
                "a job goes on from its own last checkpoint: instead of --ckpt_path give the "
                "--name of the run to go on with, or --init_from to start from other weights"
            )
        whole = config.trainer.default_root_dir
        if whole and self.suffix:
            raise UserError(f"the runs of an array cannot share {whole}: give --name instead")
        if not whole:
            self._fix_name(config)
        config.ckpt_path = None if config.overwrite else "last"
        super().before_instantiate_classes()
        os.environ.pop(RUN_DIR_ENV, None)

    def _fix_name(self, config: Any) -> None:
        config.experiment = config.experiment or class_of(config, "data").__name__
        parent = Path("runs", config.experiment)
        self.base = config.name or next_run_name(parent, class_of(config, "model").__name__)
        config.name = self.base + self.suffix

    def _set_seed(self) -> None:
        """Do nothing: no number is drawn."""

    def instantiate_classes(self) -> None:
        """Build no model, and data only so far as to see whether their files are there."""
        config = self.config["fit"]
        data, given = class_of(config, "data"), config.data.init_args.as_dict()
        try:
            data(**given)
        except ValueError as error:
            raise UserError(str(error)) from error
        for name in (name for name in FILES if name in data.machine_specific):
            paths = given[name] if isinstance(given[name], list) else [given[name]]
            for path in paths:
                if path is not None and not Path(path).expanduser().exists():
                    raise UserError(f"--data.{name}: {path} does not exist")

    def _run_subcommand(self, subcommand: str) -> None:
        """Do nothing: the job will."""


def planned(args: Namespace, options: Options) -> Plan:
    """Check each run as `fit` would, and settle what it is given.

    Args:
        args: Options of `submit`.
        options: Options of `fit`.

    Raises:
        UserError: If one of the runs would be refused.
    """
    elements = grid.read(args.array) if args.array else [{}]
    suffixes = grid.suffixes(elements) if args.array else [""]
    runs: list[Run] = []
    names: Options = []  # all are named after the first
    folder, strategies = Path(), set()
    for element, suffix in zip(elements, suffixes, strict=True):
        own = grid.options_of(element)
        refuse_contradictions(args, [*options, *own])
        rehearsal = FitDryRun([*options, *own, *names], suffix)
        config = rehearsal.config["fit"]
        place = Path(config.trainer.default_root_dir)
        folder = place
        if rehearsal.base is not None:
            folder = place.with_name(rehearsal.base)
            names = [[f"--experiment={config.experiment}"], [f"--name={rehearsal.base}"]]
            own.append([f"--name={config.name}"])
        runs.append(Run(place, own, config.ckpt_path or "", config.overwrite))
        strategies.add(str(config.trainer.strategy))
    settled = [*names[:1], *_settled(args, any(run.overwrite for run in runs))]
    if args.nodes * args.tasks_per_node > 1 and strategies == {"auto"}:
        settled.append(["--trainer.strategy=ddp"])
    keys = {key_of(option) for option in settled} | {"--name", "--overwrite"}
    kept = [option for option in options if key_of(option) not in keys]
    return Plan(folder, [*kept, *settled], runs)


def _settled(args: Namespace, overwrite: bool) -> Options:
    """What a job gives to `fit` in any case."""
    given = {
        "ckpt_path": "last",
        "trainer.num_nodes": args.nodes,
        "trainer.devices": args.tasks_per_node,
        "trainer.accelerator": "gpu" if args.gpus_per_node else "cpu",
    }
    if overwrite:  # it was done when the job was submitted
        given["overwrite"] = "false"
    return [[f"--{key}={value}"] for key, value in given.items()]


def refuse_contradictions(args: Namespace, options: Options) -> None:
    """Refuse a Trainer of another size than the job.

    Raises:
        UserError: If the options of `fit` ask for other nodes or processes.
    """
    fitting: dict[str, Sequence[str]] = {
        "--trainer.num_nodes": [str(args.nodes)],
        "--trainer.devices": [str(args.tasks_per_node)],
        "--trainer.accelerator": ["gpu", "cuda", "auto"] if args.gpus_per_node else ["cpu", "auto"],
    }
    for option in options:
        key = key_of(option)
        if key in fitting and value_of(option) not in fitting[key]:
            size = f"--nodes={args.nodes} --gpus-per-node={args.gpus_per_node}"
            size += f" --tasks-per-node={args.tasks_per_node}"
            raise UserError(f"{key}={value_of(option)} contradicts {size}: leave it out")


def key_of(option: list[str]) -> str:
    """The name of an option."""
    return option[0].partition("=")[0]
