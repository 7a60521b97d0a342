"""Train the trials of a sweep in processes of their own, prune them, and show their progress."""

import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, Trial, TrialState

from rnn_lab.commands import _grid as grid
from rnn_lab.commands._parallel_runs import (
    INTERVAL,
    LocalRun,
    forwarded,
    reason_of,
    shared_environment,
    start,
)
from rnn_lab.commands._parsing import print_error
from rnn_lab.io.atomic import atomic_path
from rnn_lab.io.run_files import COST, METRICS, STATE, read_metrics, read_record
from rnn_lab.io.text_tables import aligned, four_digits
from rnn_lab.sweeps.study import ENDED, Study
from rnn_lab.training.run_lock import lock_run_dir

ENDING = 120.0  # seconds that the process of a killed sweep may take to end
RESTARTS = 3  # of a trial whose process was killed
LOOK = 1.0  # seconds between two looks at the metrics
SHOWN = 12  # trials in the table
NAMES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


@dataclass(frozen=True)
class Budget:
    """When no further trial is begun.

    Attributes:
        trials: Number of trials.
        hours: Hours of training of all trials together.
        steps: Training steps of all trials together.
    """

    trials: int
    hours: float = math.inf
    steps: float = math.inf


@dataclass
class _Training:
    """A trial in training."""

    trial: Trial
    run: LocalRun
    reported: set[int]  # epochs whose value the study has
    pruned: bool = False
    restarts: int = 0


class Trials:
    """Begin, watch and end the trials of a study.

    Args:
        study: The study.
        options: Options of `fit` that all trials have.
        budget: When no further trial is begun.
        jobs: Trials to train at the same time.
    """

    def __init__(self, study: Study, options: Sequence[str], budget: Budget, jobs: int) -> None:
        self.study, self.budget, self.jobs = study, budget, jobs
        self._options = options
        self._training: list[_Training] = []
        self._runs: list[LocalRun] = []  # of the trials in training, to which signals are passed on
        self._environment = shared_environment(jobs)
        self._view = _View(study)

    def run(self) -> int:
        """Train until the budget is spent.

        Returns:
            0, or 128 + signal number; the same command then resumes the trials.
        """
        look, more = 0.0, True
        with forwarded(self._runs) as received:
            while self._training or (more and not received):
                while more and not received and len(self._training) < self.jobs:
                    more = self._begin()
                ended = [each for each in self._training if _has_ended(each.run)]
                for each in ended:
                    self._end(each, bool(received))
                if ended or time.monotonic() >= look:
                    look = time.monotonic() + LOOK
                    for each in self._training:
                        self._watch(each)
                    self._view.show()
                time.sleep(0 if ended else INTERVAL)
        if received:
            print_error("interrupted: the same command resumes")
            return 128 + received[0]
        return 0

    def _begin(self) -> bool:
        """Begin or resume a trial; return False if there is none."""
        limit = 0 if is_spent(self.study, self.budget) else self.budget.trials
        trial = self.study.next_trial(limit)  # those that were interrupted are resumed anyway
        if trial is None:
            return False
        folder = folder_of(self.study, trial.number)
        command = command_of(self.study, self._options, trial.number, trial.params)
        (frozen,) = (each for each in self.study.trials() if each.number == trial.number)
        reported = {*frozen.intermediate_values}
        training = _Training(trial, LocalRun(folder, command, False, ""), reported)
        self._training.append(training)
        self._runs.append(training.run)
        if folder.exists():  # the process of a killed sweep may still be ending
            lock_run_dir(folder, ENDING).release()
        start(training.run, self._environment)
        return True

    def _watch(self, training: _Training) -> None:
        """Report new values of validation, and end the trial if it is to be pruned."""
        self._report(training)
        if not training.pruned and training.trial.should_prune() and training.run.process:
            training.pruned = True
            training.run.process.terminate()

    def _report(self, training: _Training) -> None:
        """Report values of validation that the study does not have yet."""
        metric = self.study.settings.metric
        for epoch, value in values_by_epoch(training.run.folder, metric).items():
            if epoch not in training.reported:
                training.trial.report(value, epoch)
                training.reported.add(epoch)

    def _end(self, training: _Training, interrupted: bool) -> None:
        """Record how a trial ended; start it again if its process was killed."""
        run, trial = training.run, training.trial
        status = run.process.returncode if run.process else 0
        stopped = status < 0 or status >= 128
        if stopped and not training.pruned and not interrupted and training.restarts < RESTARTS:
            training.restarts += 1
            start(run, self._environment)
            return
        self._report(training)
        self._training.remove(training)
        self._runs.remove(run)
        if status and training.pruned:
            _write_pruned(run.folder)
            self.study.tell(trial, TrialState.PRUNED)
        elif stopped and interrupted:
            self.study.release(trial)
        elif status:
            print_error(f"trial {trial.number} failed: {reason_of(run)}, see {run.log}")
            self.study.tell(trial, TrialState.FAIL)
        else:
            value = value_of_trial(run.folder, self.study)
            if value is None:
                print_error(f"trial {trial.number} has no {self.study.settings.metric}")
            state = TrialState.FAIL if value is None else TrialState.COMPLETE
            self.study.tell(trial, state, value)


def is_spent(study: Study, budget: Budget) -> bool:
    """Return whether the hours or steps of a budget are spent."""
    folders = [folder_of(study, trial.number) for trial in study.trials()]
    steps = sum(read_record(folder / STATE).get("step", 0) for folder in folders)
    seconds = sum(read_record(folder / COST).get("seconds", 0.0) for folder in folders)
    return bool(steps >= budget.steps or seconds >= 3600 * budget.hours)


def is_complete(study: Study, budget: Budget) -> bool:
    """Return whether all trials of a budget have ended."""
    trials = study.trials()
    begun = len(trials) >= budget.trials or is_spent(study, budget)
    return begun and all(trial.state in ENDED for trial in trials)


def command_of(
    study: Study, options: Sequence[str], number: int, params: Mapping[str, Any]
) -> list[str]:
    """Return the command that trains or resumes a trial."""
    point = {name: params[name] for name in study.space}
    own = [argument for option in grid.options_of(point) for argument in option]
    place = [f"--trainer.default_root_dir={folder_of(study, number)}", "--ckpt_path=last"]
    return [sys.executable, "-m", "rnn_lab", "fit", *options, *own, *place]


def folder_of(study: Study, number: int) -> Path:
    """Return the run folder of a trial."""
    return study.folder / f"trial-{number}"


def values_by_epoch(folder: Path, metric: str) -> dict[int, float]:
    """Return the finite values of a metric in the `metrics.csv` of a run."""
    try:
        columns = read_metrics(folder / METRICS)
        pairs = zip(columns["epoch"], columns[metric], strict=True)
    except (OSError, ValueError, LookupError):
        return {}
    return {
        int(epoch): value
        for epoch, value in pairs
        if epoch is not None and value is not None and math.isfinite(value)
    }


def value_of_trial(folder: Path, study: Study) -> float | None:
    """Return the value of the best checkpoint of a run; None if there was no validation."""
    metric, state = study.settings.metric, read_record(folder / STATE)
    best = state.get("best")
    if state.get("monitor") == metric and isinstance(best, float) and math.isfinite(best):
        return best
    values = values_by_epoch(folder, metric).values()
    return max(values, key=lambda value: study.better * value, default=None)


def _has_ended(run: LocalRun) -> bool:
    return run.process is not None and run.process.poll() is not None


def _write_pruned(folder: Path) -> None:
    """Let the state file tell that the run was pruned, not preempted."""
    record = read_record(folder / STATE)
    reason = f"at epoch {record.get('epoch', '?')}"
    text = json.dumps({**record, "state": "pruned", "reason": reason}, indent=1)
    with atomic_path(folder / STATE) as part:
        part.write_text(text + "\n", encoding="utf-8")


class _View:
    """Table of the trials, drawn again on a terminal, else a line for each trial that ends."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._lines = 0  # of the table that is on the terminal
        self._ended = {trial.number for trial in study.trials() if trial.state in ENDED}

    def show(self) -> None:
        """Show the trials."""
        trials = self._study.trials()
        if sys.stderr.isatty():
            width = os.get_terminal_size(sys.stderr.fileno()).columns
            rows = trial_rows(self._study, trials)
            lines = [line[:width] for line in aligned([rows[0], *rows[1:][-SHOWN:]], left=2)]
            clear = f"\x1b[{self._lines}F\x1b[J" * bool(self._lines)
            sys.stderr.write(clear + "".join(f"{line}\n" for line in lines))
            self._lines = len(lines)
        else:
            for trial in trials:
                if trial.state in ENDED and trial.number not in self._ended:
                    self._ended.add(trial.number)
                    sys.stderr.write(self._line(trial) + "\n")
        sys.stderr.flush()

    def _line(self, trial: FrozenTrial) -> str:
        line = f"trial {trial.number}: {NAMES[trial.state]}"
        if trial.value is not None:
            line += f", {self._study.settings.metric} {four_digits(trial.value)}"
        best = self._study.best()
        if best is None or best.value is None:
            return line
        return f"{line} (best: trial {best.number}, {four_digits(best.value)})"


def trial_rows(study: Study, trials: Sequence[FrozenTrial]) -> list[list[str]]:
    """Return the cells of the table of trials, with a head."""
    options = [*study.space]
    best = study.best()
    short = [name.rpartition(".")[2] for name in options]
    rows = [["trial", "state", *short, study.settings.metric, "epoch"]]
    for trial in trials:
        values = trial.intermediate_values
        last = max(values, default=None)
        value = trial.value if trial.value is not None else values.get(last) if last else None
        mark = "*" if best is not None and best.number == trial.number else ""
        rows.append(
            [
                f"{trial.number}{mark}",
                NAMES[trial.state],
                *(_text(trial.params.get(name)) for name in options),
                "" if value is None else four_digits(value),
                "" if last is None else str(last),
            ]
        )
    return rows


def _text(value: Any) -> str:
    return four_digits(value) if isinstance(value, float) else str(value)
