"""Frequencies: inference, conversion and calendar features."""

import numpy as np
import pandas as pd
import pytest
from panel_tables import WIDE, panel_of, wide

from rnn_lab.tasks.forecasting.panel.frequency import DAY, Frequency, calendar_features

FREQS = ["h", "15min", "D", "7D", "B", "MS", "ME", "3MS", "3ME", "12MS", "90s", "250ms"]


@pytest.mark.parametrize("freq", FREQS)
def test_the_frequency_is_inferred_and_extrapolates_times(freq: str) -> None:
    begin = "2024-01-31" if freq.endswith("ME") else "2024-01-01"
    dates = pd.date_range(begin, periods=40, freq=freq)
    frame = pd.DataFrame({"date": dates[:30], "a": 1.0})
    panel = panel_of(frame, **WIDE)
    assert panel.freq == freq
    np.testing.assert_array_equal(panel.times(0, 0, 40), dates.to_numpy("datetime64[ns]"))
    parsed = panel_of(frame, **WIDE, freq=freq)
    np.testing.assert_array_equal(parsed.values, panel.values)


@pytest.mark.parametrize(
    ("freq", "season"),
    [("h", 24), ("15min", 96), ("D", 7), ("B", 5), ("MS", 12), ("QE", 4), ("YS", 1), ("W", 1)],
)
def test_the_season_length_follows_from_the_frequency(freq: str, season: int) -> None:
    assert Frequency.parse(freq).season_length == season


def test_days_without_a_weekend_are_not_business_days() -> None:
    assert panel_of(wide(5, "D", "2024-01-01"), **WIDE).freq == "D"
    assert panel_of(wide(6, "B", "2024-01-01"), **WIDE).freq == "B"


def test_months_of_different_lengths_are_regular_steps() -> None:
    panel = panel_of(wide(14, "ME", "2023-11-30"), **WIDE)
    assert panel.freq == "ME"
    assert panel.times(0, 3, 2).astype("datetime64[D]").astype(str).tolist() == [
        "2024-02-29",
        "2024-03-31",
    ]


@pytest.mark.parametrize("step", [1, 5])
def test_integers_are_valid_times(step: int) -> None:
    frame = pd.DataFrame({"date": 3 + step * np.arange(4), "a": range(4)})
    panel = panel_of(frame, **WIDE)
    assert panel.freq == ("" if step == 1 else "5")
    assert panel.times(0, 3, 2).tolist() == [3 + 3 * step, 3 + 4 * step]


@pytest.mark.parametrize(
    ("name", "attribute", "first", "last"),
    [
        ("minute", "minute", 0, 59),
        ("hour", "hour", 0, 23),
        ("weekday", "day_of_week", 0, 6),
        ("day", "day", 1, 31),
        ("week", "", 1, 53),
        ("month", "month", 1, 12),
        ("dayofyear", "day_of_year", 1, 366),
    ],
)
def test_calendar_features_equal_those_of_pandas(
    name: str, attribute: str, first: int, last: int
) -> None:
    dates = pd.date_range("2019-12-20 00:30", periods=3000, freq="7h13min")
    parsed = getattr(dates, attribute) if attribute else dates.isocalendar().week
    expected = (np.asarray(parsed, np.float64) - first) / (last - first) - 0.5
    times = dates.to_numpy("datetime64[ns]").astype(np.int64)
    np.testing.assert_allclose(calendar_features([name], times)[:, 0], expected, atol=1e-6)


def test_to_index_inverts_to_timestamp_also_before_the_start() -> None:
    for freq in ("h", "B", "MS", "3ME"):
        frequency = Frequency.parse(freq)
        begin = frequency.to_timestamp(np.int64(19_000 * DAY), np.int64(0))
        places = np.arange(-50, 50)
        result, exact = frequency.to_index(begin, frequency.to_timestamp(begin, places))
        assert exact.all()
        np.testing.assert_array_equal(result, places)
