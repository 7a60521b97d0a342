"""Chronological splits."""

from typing import Any

import numpy as np
import pytest
from series_tables import SPLITS, wide

from rnn_lab.datamodules import (
    SyntheticSeries,
)
from rnn_lab.errors import UserError


@pytest.mark.parametrize("split", [[60, 20, 15], ["2024-01-03 12:00", "2024-01-04 08:00"]])
def test_splits_are_set_by_numbers_of_rows_or_times(data_of: Any, split: Any) -> None:
    data = data_of(wide(100), split=split)
    origins = [data.split(name).origin(np.array([0]))[1][0] for name in SPLITS]
    assert origins == [6, 60, 80]
    assert len(data.split("test")) == (15 if isinstance(split[0], int) else 20) - 3


@pytest.mark.parametrize(
    ("freq", "time", "row"),
    [
        ("h", "2024-01-02 00:30", 25),
        ("MS", "2024-03-15", 3),
        ("B", "2024-01-06", 5),
        ("D", "2020", 0),
    ],
)
def test_a_time_between_rows_splits_before_the_next_row(
    data_of: Any, freq: str, time: str, row: int
) -> None:
    assert data_of(wide(100, freq), split=[time, "2200"])._rows["valid"][0, 0] == row


@pytest.mark.parametrize(
    "split", [[0.5, 0.5], [0.5, 0.2, 0.2], [1.5, -0.3, -0.2], ["a", "b", "c"], [1], []]
)
def test_invalid_splits_are_refused(split: Any) -> None:
    with pytest.raises(UserError, match=r"invalid split \[.*\]: pass three fractions"):
        SyntheticSeries(split=split)


@pytest.mark.parametrize("time", ["soon", "20240101", 3])
def test_invalid_times_in_a_split_are_refused(data_of: Any, time: Any) -> None:
    with pytest.raises(
        UserError, match=r"invalid time .* in split: expected a time such as 2024-01-31"
    ):
        data_of(wide(), split=[time, "2025"]).split("train")


def test_a_split_with_more_rows_than_the_longest_series_is_refused():
    data = SyntheticSeries(100, 1, input_length=4, horizon=2, split=[80, 10, 20])
    with pytest.raises(UserError, match="needs 110 rows, but the longest series has 100"):
        data.split("train")
