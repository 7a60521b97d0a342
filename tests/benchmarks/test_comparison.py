"""What counts as equal, and how times become ratios."""

import math

import pytest
from measured import result

from rnn_lab.benchmarks.comparison import Comparison, Variant, check_equal, spread
from rnn_lab.errors import UserError

VARIANTS = [Variant(name, name) for name in ("textbook", "ours", "other")]
COMPARED = Comparison(
    "text", "reviews", {}, VARIANTS, ["textbook"], [["textbook", "ours"]], "tokens"
)


def test_equal_values_and_rounding_are_accepted():
    check_equal(COMPARED, {"textbook": [0.7, -1.0], "ours": [0.7, -1.000005], "other": [3.0]})


@pytest.mark.parametrize("value", [0.7001, math.nan, math.inf])
def test_unequal_losses_are_refused_with_both(value):
    with pytest.raises(UserError, match=r"^text, reviews: textbook and ours do not compute") as e:
        check_equal(COMPARED, {"textbook": [0.7], "ours": [value], "other": [0.7]})
    assert f"0.7 and {value:.6g}; nothing was timed" in str(e.value)


def test_different_numbers_of_values_are_refused():
    with pytest.raises(UserError, match="different numbers of values"):
        check_equal(COMPARED, {"textbook": [0.7], "ours": [0.7, 0.7], "other": []})


def test_ratios_are_those_of_times_in_the_same_round():
    measured = result(COMPARED, {"textbook": [1.0, 2.0, 1.0], "ours": [1.0, 8.0, 3.0]})
    assert measured.ratios(measured.variants[1], "textbook") == pytest.approx([1.0, 4.0, 3.0])
    assert measured.variants[0].per_second == 10.0


def test_the_spread_of_one_round_is_that_round():
    assert spread([2.0]) == (2.0, 2.0, 2.0)
