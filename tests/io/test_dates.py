"""Dates are read with the day or the month first, whichever the column shows."""

import pandas as pd
import pytest

from rnn_lab.io.dates import is_regular_only_day_first, parse_timestamps

DAYS = pd.Series(pd.date_range("2024-01-01", periods=60))
MONTHS = pd.Series(pd.date_range("2021-01-01", periods=24, freq="MS"))


def written(times: pd.Series, format: str) -> pd.Series:
    return times.dt.strftime(format)


@pytest.mark.parametrize(
    "format",
    ["%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%d/%m/%Y %H:%M", "%d.%m.%Y", "%Y-%m-%d", "%Y/%m/%d"],
)
def test_a_number_above_12_shows_where_the_day_is(format: str) -> None:
    assert parse_timestamps(written(DAYS, format)).tolist() == DAYS.tolist()
    assert not is_regular_only_day_first(written(DAYS, format))


def test_ambiguous_dates_start_with_the_month() -> None:
    text = written(MONTHS, "%d/%m/%Y")
    assert parse_timestamps(text).tolist() == pd.to_datetime(text, format="%m/%d/%Y").tolist()


def test_contradictory_dates_start_with_the_month_and_the_others_are_missing() -> None:
    text = pd.Series(["01/31/2024", "13/01/2024", "02/01/2024"])
    assert parse_timestamps(text).isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("times", "format", "expected"),
    [
        (MONTHS, "%d/%m/%Y", True),  # the first of each month, or the first twelve days of January
        (MONTHS, "%m/%d/%Y", False),
        (MONTHS[:2], "%d/%m/%Y", False),  # too few to tell
        (MONTHS.drop(3), "%d/%m/%Y", False),  # neither is regular
        (MONTHS, "%Y-%m-%d", False),
        (pd.concat([MONTHS, MONTHS]), "%d-%m-%Y", True),  # of two series
    ],
    ids=["day first", "month first", "few", "gap", "iso", "two series"],
)
def test_dates_that_are_regular_only_with_the_day_first_are_noticed(
    times: pd.Series, format: str, expected: bool
) -> None:
    assert is_regular_only_day_first(written(times, format)) is expected


def test_other_columns_are_no_ambiguous_dates() -> None:
    for values in ([1, 2, 3], ["a", "b", "c"], [None, None], [1.5, 2.5], list(MONTHS)):
        assert not is_regular_only_day_first(pd.Series(values))
