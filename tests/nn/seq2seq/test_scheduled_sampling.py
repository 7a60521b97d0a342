"""How the share of true words falls."""

import math

import pytest

from rnn_lab.nn import ScheduledSampling


def test_a_constant_share_stays():
    assert [ScheduledSampling(ratio=0.7).at(step) for step in (0, 9, 10**6)] == [0.7] * 3


def test_a_linear_fall_ends_at_its_last_step():
    forcing = ScheduledSampling("linear", 0.9, 0.1, 100)
    assert [forcing.at(step) for step in (0, 50, 100, 1000)] == pytest.approx([0.9, 0.5, 0.1, 0.1])


def test_an_inverse_sigmoid_is_half_way_at_k_log_k():
    forcing = ScheduledSampling("inverse_sigmoid", steps=1000)
    assert forcing.at(0) == pytest.approx(1, abs=0.01)
    assert forcing.at(round(1000 * math.log(1000))) == pytest.approx(0.5, abs=1e-3)
    assert forcing.at(10**9) == pytest.approx(0, abs=1e-6)
    shares = [forcing.at(step) for step in range(0, 20_000, 500)]
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": "cubic"}, "teacher_forcing_schedule must be one of"),
        ({"ratio": 1.1}, "teacher_forcing_ratio must be 0 to 1, got 1.1"),
        ({"final": 0.5}, "teacher_forcing_final means nothing with a constant schedule"),
        ({"schedule": "linear", "ratio": 0.2, "final": 0.9}, "at most the ratio, 0.2, got 0.9"),
        ({"final": -0.1}, "teacher_forcing_final must be 0 to 1, got -0.1"),
        ({"steps": 0}, "teacher_forcing_steps must be at least 1, got 0"),
    ],
)
def test_numbers_without_meaning_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ScheduledSampling(**arguments)
