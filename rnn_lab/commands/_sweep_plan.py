"""Validate a sweep before its first trial, and report its results after the last one."""

import math
import subprocess
from argparse import Namespace
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState

from rnn_lab.commands import _grid as grid
from rnn_lab.commands._checks import chosen_class
from rnn_lab.commands._dry_run import FitDryRun, Options, key_of
from rnn_lab.commands._parallel_runs import shared_environment
from rnn_lab.commands._sweep_trials import Budget, command_of, folder_of, trial_rows
from rnn_lab.core.task import Task
from rnn_lab.errors import UserError
from rnn_lab.io.run_files import STATE, last_test_scores, read_record
from rnn_lab.io.text_tables import aligned, four_digits
from rnn_lab.sweeps import space as spaces
from rnn_lab.sweeps.results import write_best, write_table
from rnn_lab.sweeps.space import Space
from rnn_lab.sweeps.study import Settings, Study

TRIALS = 20


class SweepDryRun(FitDryRun):
    """Parse and validate the options of a trial."""

    command = "sweep"


@dataclass(frozen=True)
class SweepPlan:
    """A validated sweep.

    Attributes:
        folder: Folder of the sweep.
        space: Options and their distributions.
        settings: What is looked for.
        options: Options of `fit` that all trials have.
        budget: When no further trial is begun.
        accelerator: The accelerator of the Trainer.
    """

    folder: Path
    space: Space
    settings: Settings
    options: list[str]
    budget: Budget
    accelerator: str

    @cached_property
    def study(self) -> Study:
        """The study, whose journal is created or opened at the first use.

        Raises:
            UserError: If another sweep has the name.
        """
        return Study(self.folder, self.space, self.settings, self.options)


def plan(args: Namespace, options: Options) -> SweepPlan:
    """Validate a sweep as `fit` would validate each of its trials.

    Args:
        args: Options of `sweep`.
        options: Options of `fit`.

    Raises:
        UserError: If an option of the line or of the space is invalid.
    """
    path = Path(args.space)
    space = spaces.read_space(path)
    if not any(key_of(option) == "--name" for option in options):
        raise UserError("give the sweep a --name, by which the same command finds it again")
    given = {key_of(option).removeprefix("--") for option in options}
    if "trainer.default_root_dir" in given:
        raise UserError("each trial has a folder of its own: remove --trainer.default_root_dir")
    for option in space:
        if option in given:
            raise UserError(f"--{option} contradicts {path}: remove one of them")
    points = spaces.grid(space)
    if args.sampler == "grid" and points is None:
        raise UserError(f"{path}: a grid needs lists of values or int intervals alone")
    config = None
    for point in spaces.samples(space):
        dry_run = SweepDryRun([*options, *grid.options_of(point)])
        config = config or dry_run.config["fit"]
    assert config is not None
    folder = Path("runs", config.experiment, config.name)
    settings = _settings(args, chosen_class(config, "model"))
    common = [option for option in options if key_of(option) not in ("--name", "--test")]
    line = [argument for option in common for argument in option]
    trials = args.trials or (len(points) if args.sampler == "grid" and points else TRIALS)
    budget = Budget(trials, args.hours or math.inf, args.steps or math.inf)
    return SweepPlan(folder, space, settings, line, budget, str(config.trainer.accelerator))


def _settings(args: Namespace, model: type) -> Settings:
    """Return metric and mode, by default those of the task."""
    metric, mode = args.metric, args.mode
    if metric is None:
        if not issubclass(model, Task):
            raise UserError(f"{model.__name__} declares no metric: give --metric and --mode")
        metric, mode = model.monitor, mode or model.mode
    if mode is None:
        if not metric.endswith("loss"):
            raise UserError(f"give --mode: whether lower (min) or higher (max) {metric} is better")
        mode = "min"
    chosen = {"sampler": args.sampler, "pruner": args.pruner, "seed": args.sampler_seed}
    return Settings(metric, mode, **{k: v for k, v in chosen.items() if v is not None})


def report(plan: SweepPlan, output: TextIO) -> None:
    """Write table, figures and best config; test the best trial, and print all.

    While other processes train trials, the table is printed alone: the last of them does the rest.

    Args:
        plan: The sweep.
        output: Where it is printed.
    """
    study = plan.study
    trials = study.trials()
    lines = aligned(trial_rows(study, trials), left=2)
    if running := sum(trial.state == TrialState.RUNNING for trial in trials):
        verb = "1 trial is" if running == 1 else f"{running} trials are"
        lines += [f"{verb} trained by other processes, of which the last writes the results"]
    else:
        with FileLock(study.folder / ".report.lock"):
            lines += _results(plan, trials)
    output.write("\n".join(lines) + "\n")


def _results(plan: SweepPlan, trials: list[FrozenTrial]) -> list[str]:
    """Write the files, test the best trial, and return lines about both."""
    study, lines = plan.study, []
    best = study.best()
    files = [write_table(study)]
    if best is not None:
        files += [write_best(study, best), *_figures(study, trials)]
        lines += ["", *_best_lines(plan, best)]
    lines += [f"written: {', '.join(map(str, files))}"]
    if best is not None:
        lines += ["next:", f"  rnn-lab fit -c {files[1]} --seeds=1,2,3 --test=true"]
    return lines


def _figures(study: Study, trials: list[FrozenTrial]) -> list[Path]:
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if len(complete) < 2:
        return []
    from rnn_lab.sweeps.plots import plot_importances, plot_parallel_coordinates

    settings = study.settings
    figures: dict[str, Any] = {
        "trials.svg": plot_parallel_coordinates(
            study.space, complete, settings.metric, settings.mode == "max"
        )
    }
    if importances := study.importances():
        figures["importance.svg"] = plot_importances(importances)
    paths = []
    for name, figure in figures.items():
        path = study.folder / name
        try:
            figure.savefig(path)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
        paths.append(path)
    return paths


def _best_lines(plan: SweepPlan, best: FrozenTrial) -> list[str]:
    study, folder = plan.study, folder_of(plan.study, best.number)
    name = study.settings.metric
    lines = [f"best: trial {best.number}, {name} {four_digits(best.value or 0.0)}"]
    scores = _tested(plan, best)
    metric = read_record(folder / STATE).get("test_metric")
    if isinstance(metric, str) and metric in scores:
        lines[0] += f", {metric} {four_digits(scores[metric])}"
    lines.append(
        f"{name} of the best of {len(study.trials())} trials is optimistic, since it was chosen by "
        "it; compare it on the test split with other seeds"
    )
    return lines


def _tested(plan: SweepPlan, best: FrozenTrial) -> dict[str, float]:
    """Test the best trial unless it is tested; return its scores, none without a test split."""
    folder = folder_of(plan.study, best.number)
    scores = last_test_scores(folder)
    if scores:
        return scores
    command = command_of(plan.study, plan.options, best.number, best.params)
    with open(folder / "fit.log", "ab") as log:
        subprocess.run(
            [*command, "--test=true"],
            env=shared_environment(1),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
        )
    return last_test_scores(folder)
