"""The rule by which a verdict follows from measured differences. It is stated here, once.

A hypothesis predicts that a variant is better than another in a metric, or at most a margin
worse. Its p-value is that of a difference which equals the boundary, that is, zero or the margin:
two-sided, by Student's t with the standard error and the degrees of freedom of
`rnn_lab.comparison.statistics.difference`, and adjusted by Holm's method for the hypotheses of the
claim.

- A hypothesis holds if p is below 0.05 and the difference is on the predicted side of the boundary.
- It does not hold here if p is below 0.05 and the difference is on the other side.
- Otherwise it is not decided, also if a run is missing.

A claim holds if all of its hypotheses hold. It does not hold here if one of them does not, and it
is not decided otherwise.
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from scipy import stats

from rnn_lab.claims.hypothesis import Hypothesis
from rnn_lab.comparison.statistics import Difference, holm

LEVEL = 0.05


class Verdict(StrEnum):
    """What follows from the runs."""

    HOLDS = "holds"
    FAILS = "does not hold here"
    UNDECIDED = "not decided"


class Outcome(NamedTuple):
    """A hypothesis with its verdict.

    Attributes:
        hypothesis: The hypothesis.
        difference: The variant minus the one it is compared with, of logarithms for ratios; None
            if a run is missing.
        p_value: Adjusted p-value of a difference at the boundary; None without a difference.
        verdict: The verdict.
    """

    hypothesis: Hypothesis
    difference: Difference | None
    p_value: float | None
    verdict: Verdict


def outcomes(
    hypotheses: Sequence[Hypothesis], differences: Sequence[Difference | None]
) -> list[Outcome]:
    """Return the outcome of each hypothesis of a claim.

    Args:
        hypotheses: The hypotheses.
        differences: Their differences; None if a run is missing.
    """
    pairs = [*zip(hypotheses, differences, strict=True)]
    p_values = iter(holm([p_value(each, found) for each, found in pairs if found is not None]))
    return [
        Outcome(each, None, None, Verdict.UNDECIDED)
        if found is None
        else _outcome(each, found, next(p_values))
        for each, found in pairs
    ]


def of_claim(outcomes: Sequence[Outcome]) -> Verdict:
    """Return the verdict on a claim."""
    verdicts = {each.verdict for each in outcomes}
    if Verdict.FAILS in verdicts:
        return Verdict.FAILS
    return Verdict.HOLDS if verdicts == {Verdict.HOLDS} else Verdict.UNDECIDED


def p_value(hypothesis: Hypothesis, difference: Difference) -> float:
    """Return the two-sided p-value of a difference that equals the boundary."""
    distance = _beyond(hypothesis, difference)
    error = math.hypot(difference.of_seeds, difference.of_rows)
    if not error:
        return float(distance == 0)
    return 2 * float(stats.t.sf(abs(distance) / error, difference.freedom))


def _beyond(hypothesis: Hypothesis, difference: Difference) -> float:
    """Return how far the difference is on the predicted side of the boundary."""
    return hypothesis.sign * difference.value + hypothesis.margin


def _outcome(hypothesis: Hypothesis, difference: Difference, adjusted: float) -> Outcome:
    verdict = Verdict.UNDECIDED
    if adjusted < LEVEL:
        verdict = Verdict.HOLDS if _beyond(hypothesis, difference) > 0 else Verdict.FAILS
    return Outcome(hypothesis, difference, adjusted, verdict)
