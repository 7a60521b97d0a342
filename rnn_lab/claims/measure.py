"""What hypotheses compare: test scores, costs, metrics over training, gradients."""

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from statistics import fmean

import numpy as np

from rnn_lab.claims.gradients import gradient_norms
from rnn_lab.claims.hypothesis import COSTS, Hypothesis
from rnn_lab.comparison import statistics
from rnn_lab.comparison.compare import Comparison, compare
from rnn_lab.comparison.rows import read_rows
from rnn_lab.comparison.saved_run import SavedRun
from rnn_lab.comparison.scores import Counts, counts_of, higher_is_better
from rnn_lab.comparison.statistics import Difference
from rnn_lab.errors import UserError
from rnn_lab.io.run_files import METRICS, has_diverged, read_metrics

Runs = Mapping[str, Sequence[SavedRun]]  # by variant
VARIANT = "variant"  # the option in which the runs of a claim differ
SOURCE_LENGTH = "source_length"  # column of the rows of a translation
LARGEST = float(np.finfo(np.float32).max)  # in place of a value that is not finite
SMALLEST = float(np.finfo(np.float32).tiny)  # in place of zero, in logarithms
REDUCE: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": fmean,
    "max": max,
    "min": min,
    "last": itemgetter(-1),
}


def compared(runs: Runs, metric: str, against: str | None = None) -> Comparison:
    """Compare the test scores of variants, see `rnn_lab.comparison.compare.compare`.

    Raises:
        UserError: If the runs cannot be compared.
    """
    marked = [
        replace(run, options={**run.options, VARIANT: name})
        for name, each in runs.items()
        for run in each
    ]
    return compare(marked, [VARIANT], metric, against)


def difference(hypothesis: Hypothesis, runs: Runs) -> Difference:
    """Measure the difference that a hypothesis is about.

    Args:
        hypothesis: The hypothesis.
        runs: The runs of its two variants, or of more.

    Raises:
        UserError: If a run has no such metric, or the tests of the runs differ.
    """
    both = {name: runs[name] for name in (hypothesis.variant, hypothesis.than)}
    if any(has_diverged(run.state) for each in both.values() for run in each):
        return statistics.difference([*measured(hypothesis, both).values()], [], 0)
    if hypothesis.min_source_length:
        return _on_long_sources(hypothesis, both)
    if hypothesis.is_tested and not hypothesis.is_ratio:
        first, second = compared(both, hypothesis.metric, hypothesis.than).groups
        group = first if first.value == hypothesis.variant else second
        if group.difference is None:
            raise UserError("two runs of each variant are needed")
        return group.difference
    return statistics.difference([*measured(hypothesis, both).values()], [], 0)


def measured(hypothesis: Hypothesis, runs: Runs) -> dict[str, list[float]]:
    """Return the value of each run by variant; logarithms for ratios.

    Raises:
        UserError: If a run has no such metric.
    """
    distance, metric = hypothesis.distance, hypothesis.metric
    values = {
        name: [
            value_of(run, metric) if distance is None else gradient_norms(run, distance)[distance]
            for run in each
        ]
        for name, each in runs.items()
    }
    if not hypothesis.is_ratio:
        return values
    return {
        name: [math.log(max(value, SMALLEST)) for value in each] for name, each in values.items()
    }


def value_of(run: SavedRun, metric: str) -> float:
    """Return a test score, a cost, or a reduction of a metric over training, of a run.

    A value that is not finite becomes the largest number of single precision, and so does a loss,
    an error or a norm of a run that diverged. Its other scores are zero.

    Raises:
        UserError: If the run has no such metric.
    """
    reduction, _, name = metric.rpartition(" ")
    if has_diverged(run.state) and name not in COSTS:
        norm = name.endswith("norm") or "loss" in name
        return LARGEST if norm or not higher_is_better(name) else 0.0
    if reduction:
        value = REDUCE[reduction](curve(run, name))
    else:
        found = run.scores.get(name) if name.startswith("test/") else run.cost.get(name)
        if found is None:
            raise UserError(f"{run.folder} has no {name}")
        value = float(found)
    return value if math.isfinite(value) else LARGEST


def curve(run: SavedRun, metric: str) -> list[float]:
    """Return the values of a metric over training.

    Raises:
        UserError: If the run has none.
    """
    try:
        values = [each for each in read_metrics(run.folder / METRICS)[metric] if each is not None]
    except (OSError, ValueError, LookupError, csv.Error):
        values = []
    if not values:
        raise UserError(f"{run.folder / METRICS} has no {metric}")
    return values


def _on_long_sources(hypothesis: Hypothesis, runs: Runs) -> Difference:
    """Compare scores of the sentences whose source is long enough, over seeds and sentences."""
    metric, shortest = hypothesis.metric, hypothesis.min_source_length
    scores, counts = [], []
    for each in runs.values():
        kept = [counts_by_length(run, metric, shortest) for run in each]
        scores.append([float(found.score(found.rows.sum(0))) for found in kept])
        counts += [found.rows for found in kept]
    score = kept[0].score
    covariances = statistics.covariances_over_units(counts, score)
    return statistics.difference(scores, covariances, len(counts[0]))


def counts_by_length(run: SavedRun, metric: str, at_least: int, below: float = math.inf) -> Counts:
    """Return what a score is computed from, of the rows with sources of some lengths.

    Args:
        run: The run.
        metric: The score.
        at_least: Smallest number of tokens of the source.
        below: Number of tokens that sources do not reach.

    Raises:
        UserError: If the run has not saved the lengths of its sources, or no source has such a
            length.
    """
    columns = read_rows(run)
    if SOURCE_LENGTH not in columns:
        raise UserError(f"{run.folder} has not saved the lengths of its sources: test it again")
    lengths = columns[SOURCE_LENGTH]
    kept = (lengths >= at_least) & (lengths < below)
    rows = {name: each[kept] for name, each in columns.items()}
    found = counts_of(metric, rows) if kept.any() else None
    if found is None:
        raise UserError(f"{run.folder} has no {metric} of sources of at least {at_least} tokens")
    return found
