"""Confidence intervals of the test scores of one run, over the rows of its test."""

import math

import numpy as np
from scipy import stats

from rnn_lab.comparison.compare import MIN_INDEPENDENT, TOLERANCE
from rnn_lab.comparison.rows import units_of
from rnn_lab.comparison.saved_run import SavedRun
from rnn_lab.comparison.scores import Columns, Counts, counts_of
from rnn_lab.comparison.statistics import covariances_over_units, independent_units

CONFIDENCE = 0.95
BOUNDED = {"accuracy", "f1", "exact_match"}  # scores between 0 and 1


def interval(run: SavedRun, metric: str, rows: Columns) -> tuple[float, float] | None:
    """Return the 95 % confidence interval of a test score over the rows of the test.

    It is Wilson's for the accuracy of independent rows. Otherwise the variance is that of a
    bootstrap over rows, and over blocks of origins if forecasts overlap, and the distribution is
    Student's t.

    Args:
        run: The run, which is the only one: its interval says nothing on other seeds.
        metric: Name of the score, such as `test/accuracy`.
        rows: What the test has saved of each row; none if there is no such table.

    Returns:
        Lower and upper bound; None if the rows do not determine the score, or are too few.
    """
    counts = counts_of(metric, rows) if rows else None
    if counts is None:
        return None
    score = float(counts.score(counts.rows.sum(0)))
    if not np.isclose(score, run.scores[metric], TOLERANCE, 1e-6):
        return None  # the rows are those of another test
    units = units_of(rows, run.options)
    independent = independent_units(units.count, units.overlap)
    if independent < MIN_INDEPENDENT:
        return None
    name = metric.rpartition("/")[2]
    if name == "accuracy" and (counts.rows[:, 1] == 1).all():
        return _wilson(counts)
    summed = [units.sum(counts.rows)]
    estimates = covariances_over_units(summed, counts.score, units.overlap)
    error = math.sqrt(max(0.0, *(float(each[0, 0]) for each in estimates)))
    if not error > 0:
        return None
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, independent - 1)) * error
    highest = 1.0 if name in BOUNDED else math.inf
    return max(score - half, 0.0), min(score + half, highest)


def _wilson(counts: Counts) -> tuple[float, float]:
    correct, rows = counts.rows.sum(0).round().astype(int).tolist()
    found = stats.binomtest(correct, rows).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)
