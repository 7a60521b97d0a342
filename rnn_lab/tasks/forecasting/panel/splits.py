"""Chronological splits into training, validation and test."""

import numpy as np

from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting.panel.panel import Panel

SplitSpec = list[int] | list[float] | list[str]
HINT = (
    "pass three fractions such as [0.7,0.1,0.2], three numbers of rows such as [800,100,100], or "
    "the times of the first validation and the first test row such as [2023-01-01,2024-01-01]"
)


def check_split(split: SplitSpec) -> None:
    """Refuse an invalid split.

    Raises:
        UserError: If it is neither three fractions that add up to 1, nor three numbers of rows, nor
            two times.
    """
    numbers = [part for part in split if not isinstance(part, str)]
    if len(split) == 3 and len(numbers) == 3 and min(numbers) >= 0:
        if all(isinstance(part, int) for part in split) or abs(sum(numbers) - 1) < 1e-6:
            return
    elif len(split) == 2 and not any(isinstance(part, float) for part in split):
        return
    raise UserError(f"invalid split {list(split)}: {HINT}")


def split_rows(panel: Panel, split: SplitSpec) -> dict[str, np.ndarray]:
    """Compute the rows of each split in each series of a panel.

    Args:
        panel: The series.
        split: A valid split, see `check_split`. Numbers of rows count from the start of a series.

    Returns:
        First row and end, `(series, 2)`, for `train`, `valid` and `test`.
    """
    rows = panel.lengths
    if len(split) == 2:
        valid, test = (_rows_before(panel, part) for part in split)
        ends = [valid, np.maximum(test, valid), rows]
    elif all(isinstance(part, int) for part in split):
        numbers = np.array(split)
        if numbers.sum() > rows.max():
            raise UserError(
                f"split {list(split)} needs {numbers.sum()} rows, but the longest series has "
                f"{rows.max()}"
            )
        ends = [np.minimum(end, rows) for end in np.cumsum(numbers)]
    else:
        train, test = (rows * float(part) for part in (split[0], split[2]))
        ends = [train.astype(np.int64), rows - test.astype(np.int64), rows]
    firsts = [np.zeros_like(rows), ends[0], ends[1]]
    bounds = zip(("train", "valid", "test"), firsts, ends, strict=True)
    return {name: np.stack([first, end], 1) for name, first, end in bounds}


def _rows_before(panel: Panel, time: int | float | str) -> np.ndarray:
    """Count the rows of each series before a time."""
    frequency, starts = panel.frequency, panel.start_times
    timestamp = np.int64(_parse_time(time, frequency.kind == "number"))
    index, _ = frequency.to_index(starts, timestamp)
    index = index + (frequency.to_timestamp(starts, index) < timestamp)
    return np.clip(index, 0, panel.lengths)


def _parse_time(time: int | float | str, number: bool) -> int:
    try:
        timestamp = int(time) if number else _seconds(str(time)) * 10**9
        if -(2**63) < timestamp < 2**63:
            return timestamp
    except ValueError:
        pass
    expected = "a number, as in the time column" if number else "a time such as 2024-01-31"
    raise UserError(f"invalid time {time!r} in split: expected {expected}")


def _seconds(time: str) -> int:
    return int(np.datetime64(time, "s").astype(np.int64))
