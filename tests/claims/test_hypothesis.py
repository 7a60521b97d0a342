"""Hypotheses: which metrics are ratios, and what is refused."""

import pytest
from claim_runs import hypothesis


@pytest.mark.parametrize(
    ("metric", "is_ratio", "distance"),
    [
        ("test/accuracy", False, None),
        ("parameters", True, None),
        ("mean val/loss", False, None),
        ("gradient 100", True, 100),
    ],
)
def test_costs_and_gradients_are_compared_by_ratios(metric, is_ratio, distance):
    found = hypothesis(metric)
    assert found.problem() is None
    assert (found.is_ratio, found.distance) == (is_ratio, distance)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "accuracy"}, "metric must be a score such as test/accuracy"),
        ({"metric": "median val/loss"}, "metric must be a score"),
        ({"metric": "gradient x"}, "metric must be a score"),
        ({"direction": "better"}, "direction must be higher or lower, got 'better'"),
        ({"scale": "square"}, "scale must be linear or log"),
        ({"margin": -1.0}, "margin must be at least 0"),
        ({"metric": "parameters", "margin": 1.0}, "and 0 for ratios"),
        ({"metric": "mean val/bleu", "min_source_length": 9}, "needs a score of the test"),
    ],
)
def test_contradictions_are_named(options, message):
    assert message in hypothesis(**options).problem()
