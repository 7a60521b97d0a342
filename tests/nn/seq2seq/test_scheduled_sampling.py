"""The teacher-forcing ratio of scheduled sampling by training step."""

import math

import pytest

from rnn_lab.nn import ScheduledSampling


def test_a_constant_ratio_does_not_depend_on_the_step():
    sampling = ScheduledSampling(initial_ratio=0.7)
    assert [sampling.ratio_at(step) for step in (0, 9, 10**6)] == [0.7] * 3


def test_linear_decay_ends_at_the_last_decay_step():
    sampling = ScheduledSampling("linear", 0.9, 0.1, 100)
    ratios = [sampling.ratio_at(step) for step in (0, 50, 100, 1000)]
    assert ratios == pytest.approx([0.9, 0.5, 0.1, 0.1])


def test_inverse_sigmoid_decay_is_half_done_at_k_log_k():
    sampling = ScheduledSampling("inverse_sigmoid", decay_steps=1000)
    assert sampling.ratio_at(0) == pytest.approx(1, abs=0.01)
    assert sampling.ratio_at(round(1000 * math.log(1000))) == pytest.approx(0.5, abs=1e-3)
    assert sampling.ratio_at(10**9) == pytest.approx(0, abs=1e-6)
    ratios = [sampling.ratio_at(step) for step in range(0, 20_000, 500)]
    assert ratios == sorted(ratios, reverse=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": "cubic"}, "scheduled_sampling.schedule must be one of"),
        ({"initial_ratio": 1.1}, "initial_ratio must be from 0 to 1, got 1.1"),
        ({"final_ratio": 0.5}, "final_ratio has no effect with a constant schedule"),
        (
            {"schedule": "linear", "initial_ratio": 0.2, "final_ratio": 0.9},
            "at most initial_ratio, 0.2, got 0.9",
        ),
        ({"final_ratio": -0.1}, "final_ratio must be from 0 to 1, got -0.1"),
        ({"decay_steps": 0}, "decay_steps must be at least 1, got 0"),
    ],
)
def test_invalid_values_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ScheduledSampling(**arguments)
