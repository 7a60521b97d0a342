"""Differences between systems that are trained with several seeds and tested on the same rows.

Two things make a difference vary: the seeds of the trainings, and the rows of the test split. Each
has a variance of its own, and the variance of the difference is their sum. That of the seeds is
estimated from the scores of the runs. That of the rows comes from a paired bootstrap: the
covariance, between different runs, of their scores on the same resampled rows. It does not contain
the part that another training would change, which the variance over seeds has already. The
distribution is Student's t with the degrees of freedom by Satterthwaite's formula.

Sources: Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapters 8 and 16;
Satterthwaite (1946), https://doi.org/10.2307/3002019; Künsch (1989),
https://doi.org/10.1214/aos/1176347265, for moving blocks; Holm (1979),
https://www.jstor.org/stable/4615733; Diebold & Mariano (1995),
https://doi.org/10.1080/07350015.1995.10524599, with the correction by Harvey, Leybourne & Newbold
(1997), https://doi.org/10.1016/S0169-2070(96)00719-4.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

REPLICATES, AT_A_TIME = 2000, 100
Score = Callable[[np.ndarray], np.ndarray]  # sums of counts, `(..., counts)`, to scores, `(...)`


class Difference(NamedTuple):
    """The difference of the mean scores of two systems.

    Attributes:
        value: The difference.
        low: Lower bound of its confidence interval.
        high: Upper bound.
        p_value: Probability of a difference at least as large if there is none (two-sided).
        of_seeds: Standard error by seeds; 0 if both systems have one run.
        of_rows: Standard error by rows.
        freedom: Degrees of freedom.
    """

    value: float
    low: float
    high: float
    p_value: float
    of_seeds: float
    of_rows: float
    freedom: float


def resample(units: int, rng: np.random.Generator, block: int = 1) -> np.ndarray:
    """Draw units with replacement, in blocks of neighbors.

    Args:
        units: Number of units.
        rng: Source of randomness.
        block: Units of a block; 1 if they are independent.

    Returns:
        How often each unit is drawn, `(units,)`; their sum is `units`.
    """
    block = min(block, units)
    if block == 1:
        return np.bincount(rng.integers(0, units, units), minlength=units)
    number = math.ceil(units / block)
    starts = rng.integers(0, units - block + 1, number)
    lengths = np.full(number, block)
    lengths[-1] = units - block * (number - 1)
    changes = np.bincount(starts, minlength=units + 1)
    changes -= np.bincount(starts + lengths, minlength=units + 1)
    return np.cumsum(changes)[:-1]


def covariances_over_units(
    runs: Sequence[np.ndarray], score: Score, overlap: int = 1, replicates: int = REPLICATES
) -> list[np.ndarray]:
    """Estimate the covariance of the scores of runs over the units of a test, in one or two ways.

    The variance in blocks as long as the overlap is a third too small, since neighbors at the ends
    of blocks are torn apart. That in blocks of length `2 h` minus half the error that blocks of `h`
    show is not, but it can be negative by chance: the larger of both estimates is to be used.

    Args:
        runs: Counts of each unit in each run, `(units, counts)`, of the same units in all runs.
        score: Score of a sum of counts.
        overlap: Number of consecutive units that overlap; 1 if they are independent.
        replicates: Number of resamplings.

    Returns:
        Matrices `(runs, runs)`.
    """
    if overlap == 1:
        return [bootstrap_covariance(runs, score, 1, replicates)]
    short, long = (
        bootstrap_covariance(runs, score, block, replicates) / (1 - block / len(runs[0]))
        for block in (overlap, 2 * overlap)
    )
    return [2 * long - short, long]


def independent_units(units: int, overlap: int = 1) -> int:
    """Return the number of independent units whose variance is known as well as that of these."""
    return units if overlap == 1 else units // (2 * overlap)


def bootstrap_covariance(
    runs: Sequence[np.ndarray], score: Score, block: int = 1, replicates: int = REPLICATES
) -> np.ndarray:
    """Compute the covariance of the scores of runs over resampled units, the same for all runs.

    Args:
        runs: Counts of each unit in each run, `(units, counts)`, of the same units in all runs.
        score: Score of a sum of counts.
        block: See `resample`.
        replicates: Number of resamplings.

    Returns:
        `(runs, runs)`.
    """
    rng = np.random.default_rng(0)  # the same answer each time
    counts = np.stack(runs, 1).astype(np.float64)  # (units, runs, counts)
    flat = counts.reshape(len(counts), -1)
    scores = []
    for start in range(0, replicates, AT_A_TIME):
        size = min(AT_A_TIME, replicates - start)
        weights = np.stack([resample(len(flat), rng, block) for _ in range(size)])
        scores.append(score((weights @ flat).reshape(size, *counts.shape[1:])))
    return np.atleast_2d(np.cov(np.concatenate(scores), rowvar=False))


def difference(
    scores: Sequence[Sequence[float]],
    covariances: Sequence[np.ndarray],
    independent: int,
    confidence: float = 0.95,
) -> Difference:
    """Compare the mean scores of two systems.

    Args:
        scores: Scores of the runs of the first, and of the second system.
        covariances: Estimates of that of all these scores over units, in this order, see
            `covariances_over_units`; empty if the variance over units is not known.
        independent: Number of independent units, see `independent_units`.
        confidence: Coverage of the interval.
    """
    sizes = [len(each) for each in scores]
    value = float(np.mean(scores[0]) - np.mean(scores[1]))
    seeds = [float(np.var(each, ddof=1)) / len(each) if len(each) > 1 else 0.0 for each in scores]
    of_rows = max([0.0, *(_variance_of_rows(each, sizes) for each in covariances)])
    variance = sum(seeds) + of_rows
    parts = [*zip(seeds, (n - 1 for n in sizes), strict=True), (of_rows, independent - 1)]
    scale = sum(part**2 / freedom for part, freedom in parts if part)
    freedom = variance**2 / scale if scale else math.inf
    error = math.sqrt(variance)
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    p_value = 2 * float(stats.t.sf(abs(value) / error, freedom)) if error else float(value == 0)
    return Difference(
        value, value - half, value + half, p_value, math.sqrt(sum(seeds)), of_rows**0.5, freedom
    )


def _variance_of_rows(covariance: np.ndarray, sizes: Sequence[int]) -> float:
    """Return the variance by rows of the difference of two means.

    The covariance of a run with itself also has what another training of the same system would
    change. It counts only where a system has a single run, whose seeds give no variance.
    """
    parts = slice(0, sizes[0]), slice(sizes[0], sum(sizes))
    within = 0.0
    for part in parts:
        own = covariance[part, part]
        n = len(own)
        between = (own.sum() - np.trace(own)) / n / max(n - 1, 1)
        within += float(own[0, 0] if n == 1 else between)
    return within - 2 * float(covariance[parts[0], parts[1]].mean())


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for the number of comparisons, by Holm's method.

    Example:
        >>> holm([0.01, 0.5, 0.02])
        [0.03, 0.5, 0.04]
    """
    order = np.argsort(p_values, kind="stable")
    adjusted, highest = np.empty(len(order)), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[index]))
        adjusted[index] = highest
    return [float(each) for each in adjusted]


def diebold_mariano(one: np.ndarray, other: np.ndarray, overlap: int = 1) -> float:
    """Test whether two forecasts have the same expected loss, given as they are.

    The variance is the larger of the test's own, over lags within the overlap, and one with
    Bartlett's weights over twice as many lags; the degrees of freedom are `independent_units`. With
    those of the original test, `origins - 1`, it rejects 6 to 8 % of equal pairs at 5 %.

    Args:
        one: Losses of the first by origin, `(origins,)`.
        other: Losses of the second.
        overlap: Number of consecutive origins whose forecasts overlap.

    Returns:
        The p-value, two-sided.
    """
    difference = one - other
    size = len(difference)
    centered = difference - difference.mean()
    lags = np.arange(min(2 * overlap, size))
    covariances = np.array([centered[lag:] @ centered[: size - lag] for lag in lags]) / size**2
    covariances[1:] *= 2  # of both signs of the lag
    own = covariances[:overlap].sum()
    weighted = covariances @ (1 - lags / (2 * overlap)) if overlap > 1 else own
    variance = max(float(own), float(weighted))
    if variance <= 0:
        return float(not difference.any())
    correction = (size + 1 - 2 * overlap + overlap * (overlap - 1) / size) / size
    statistic = abs(float(difference.mean())) * math.sqrt(max(correction, 0.0) / variance)
    return 2 * float(stats.t.sf(statistic, max(1, independent_units(size, overlap) - 1)))
