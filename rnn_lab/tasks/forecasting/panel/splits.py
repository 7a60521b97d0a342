"""Where in time training, validation and test part."""

import numpy as np

from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting.panel.panel import Panel

Split = list[int] | list[float] | list[str]
WISH = (
    "give three fractions such as [0.7,0.1,0.2], three numbers of rows such as [800,100,100], or "
    "the times of the first validation and the first test row such as [2023-01-01,2024-01-01]"
)


def check_split(parts: Split) -> None:
    """Refuse what does not say where splits part.

    Raises:
        UserError: If it is neither fractions that add up to 1, nor numbers of rows, nor two times.
    """
    numbers = [part for part in parts if not isinstance(part, str)]
    if len(parts) == 3 and len(numbers) == 3 and min(numbers) >= 0:
        if all(isinstance(part, int) for part in parts) or abs(sum(numbers) - 1) < 1e-6:
            return
    elif len(parts) == 2 and not any(isinstance(part, float) for part in parts):
        return
    raise UserError(f"split {list(parts)} says nothing: {WISH}")


def split_rows(panel: Panel, parts: Split) -> dict[str, np.ndarray]:
    """Find the rows of each split in each series of a panel.

    Args:
        panel: The series.
        parts: What `check_split` lets through. Numbers of rows count from the begin of a series.

    Returns:
        First row and end, `(series, 2)`, under `train`, `valid` and `test`.
    """
    rows = panel.lengths
    if len(parts) == 2:
        valid, test = (_rows_before(panel, part) for part in parts)
        cuts = [valid, np.maximum(test, valid), rows]
    elif all(isinstance(part, int) for part in parts):
        numbers = np.array(parts)
        if numbers.sum() > rows.max():
            there = f"{numbers.sum()} rows, and there are {rows.max()} in the longest series"
            raise UserError(f"split {list(parts)} is of {there}")
        cuts = [np.minimum(end, rows) for end in np.cumsum(numbers)]
    else:
        train, test = (rows * float(part) for part in (parts[0], parts[2]))
        cuts = [train.astype(np.int64), rows - test.astype(np.int64), rows]
    firsts = [np.zeros_like(rows), cuts[0], cuts[1]]
    named = zip(("train", "valid", "test"), firsts, cuts, strict=True)
    return {name: np.stack([first, end], 1) for name, first, end in named}


def _rows_before(panel: Panel, time: int | float | str) -> np.ndarray:
    """Count the rows of each series that lie before a time."""
    moment = np.int64(_read(time, panel.grid.kind == "number"))
    places, _ = panel.grid.place(panel.begins, moment)
    places = places + (panel.grid.at(panel.begins, places) < moment)
    return np.clip(places, 0, panel.lengths)


def _read(time: int | float | str, number: bool) -> int:
    try:
        moment = int(time) if number else _seconds(str(time)) * 10**9
        if -(2**63) < moment < 2**63:
            return moment
    except ValueError:
        pass
    wish = "a number, as times are" if number else "a time such as 2024-01-31"
    raise UserError(f"split has {time!r}, wanted {wish}")


def _seconds(time: str) -> int:
    return int(np.datetime64(time, "s").astype(np.int64))
