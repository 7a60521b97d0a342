"""The rule of the verdict, with made-up differences for each outcome."""

import pytest
from claim_runs import hypothesis
from scipy import stats

from rnn_lab.claims.verdict import Verdict, of_claim, outcomes, p_value
from rnn_lab.comparison.statistics import Difference, difference

H, F, U = Verdict.HOLDS, Verdict.FAILS, Verdict.UNDECIDED


def measured(value, error=0.01, freedom=10.0):
    return Difference(value, 0.0, 0.0, 1.0, error, 0.0, freedom)


@pytest.mark.parametrize(
    ("value", "direction", "margin", "verdict"),
    [
        (0.05, "higher", 0.0, H),
        (-0.05, "higher", 0.0, F),
        (0.01, "higher", 0.0, U),
        (-0.05, "lower", 0.0, H),
        (0.05, "lower", 0.0, F),
        (-0.01, "lower", 0.0, U),
        (-0.01, "higher", 0.05, H),  # comparable: worse, but by less than the margin
        (-0.04, "higher", 0.05, U),
        (-0.09, "higher", 0.05, F),
        (0.01, "lower", 0.05, H),
        (0.09, "lower", 0.05, F),
    ],
)
def test_a_hypothesis_is_decided_by_the_side_of_the_boundary(value, direction, margin, verdict):
    (found,) = outcomes([hypothesis(direction=direction, margin=margin)], [measured(value)])
    assert found.verdict is verdict


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [([H, H], H), ([H, U], U), ([H, F], F), ([U, F], F), ([U, U], U), ([F], F)],
)
def test_a_claim_holds_if_all_hypotheses_do_and_fails_with_one(verdicts, expected):
    values = {H: 0.9, F: -0.9, U: 0.0}
    found = outcomes([hypothesis()] * len(verdicts), [measured(values[each]) for each in verdicts])
    assert [each.verdict for each in found] == verdicts
    assert of_claim(found) is expected


def test_p_values_are_those_of_student_and_of_the_comparison_without_a_margin():
    scores = [[0.9, 0.92, 0.91], [0.86, 0.9, 0.87]]
    found = difference(scores, [], 0)
    assert p_value(hypothesis(), found) == pytest.approx(found.p_value, rel=1e-12)
    expected = stats.ttest_ind(*scores, equal_var=False).pvalue
    assert p_value(hypothesis(), found) == pytest.approx(expected, rel=1e-9)


def test_p_values_are_adjusted_for_the_number_of_hypotheses():
    one = outcomes([hypothesis()], [measured(0.025)])[0]
    assert one.verdict is H
    three = outcomes([hypothesis()] * 3, [measured(0.025)] * 3)
    assert [each.verdict for each in three] == [U] * 3
    assert three[0].p_value == pytest.approx(3 * one.p_value)


def test_values_that_are_equal_in_all_runs_are_decided_by_their_difference_alone():
    found = [difference([[a] * 3, [b] * 3], [], 0) for a, b in ((2, 3), (3, 2), (2, 2))]
    decided = outcomes([hypothesis(direction="lower")] * 3, found)
    assert [each.verdict for each in decided] == [H, F, U]


def test_a_hypothesis_without_runs_is_not_decided_and_does_not_count_as_a_comparison():
    found = outcomes([hypothesis()] * 2, [None, measured(0.025)])
    assert [each.verdict for each in found] == [U, H]
    assert of_claim(found) is U
