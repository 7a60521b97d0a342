"""Test rows of several runs: whether they are the same, and which of them are independent."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rnn_lab.comparison.options import Options
from rnn_lab.comparison.saved_run import SavedRun
from rnn_lab.comparison.scores import Columns

# Columns that two tests of the same rows share.
KEYS = ("row", "series", "origin", "target", "tokens")
LARGE = ("probabilities",)  # columns that no score is computed from


@dataclass(frozen=True)
class Units:
    """What is resampled: rows, series, or stretches of forecast origins or of blocks of a text.

    Attributes:
        name: Name of a unit in the plural.
        index: The unit of each row, `(rows,)` int64.
        count: Number of units.
        overlap: Number of consecutive units that overlap, or depend on each other; 1 if they are
            independent.
    """

    name: str
    index: np.ndarray
    count: int
    overlap: int = 1

    def sum(self, rows: np.ndarray) -> np.ndarray:
        """Sum the counts of the rows of each unit, `(rows, counts)` to `(units, counts)`."""
        if self.count == len(rows):
            return rows[np.argsort(self.index, kind="stable")]
        sums = np.zeros((self.count, rows.shape[1]))
        np.add.at(sums, self.index, rows)
        return sums


def read_rows(run: SavedRun) -> dict[str, np.ndarray]:
    """Read what the test of a run has saved of each row, in the order of the rows.

    Returns:
        Columns by name; none if there is no readable table.
    """
    try:
        names = [name for name in pq.read_schema(run.items).names if name not in LARGE]
        table = pq.read_table(run.items, columns=names)
    except (OSError, pa.ArrowException):
        return {}
    return {name: table[name].to_numpy() for name in names}


def same_rows(one: Columns, other: Columns) -> bool:
    """Return whether two tables are of the same rows with the same targets."""
    return all(key in other and _equal(one[key], other[key]) for key in KEYS if key in one)


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    if one.dtype == object and len(one) and isinstance(one[0], np.ndarray):  # several targets
        return [*map(tuple, one)] == [*map(tuple, other)]
    return np.array_equal(one, other)


def units_of(columns: Columns, options: Options) -> Units:
    """Return what is to be resampled.

    Rows are independent, except windows of time series: those of neighboring origins overlap. They
    are resampled in blocks of origins, with all series of an origin. If there are more series than
    forecasts that do not overlap, whole series are resampled. Neighboring blocks of a text depend
    on each other, too.

    Args:
        columns: The table of a run.
        options: Options of the run.
    """
    rows = len(next(iter(columns.values())))
    if "tokens" in columns:
        return Units("blocks of tokens", np.arange(rows), rows, overlap=2)
    if "origin" not in columns:
        return Units("rows", np.arange(rows), rows)
    origins, of_origin = np.unique(columns["origin"], return_inverse=True)
    series, of_series = np.unique(columns["series"].astype(str), return_inverse=True)
    overlap = _overlap(options)
    if len(series) > max(1, len(origins) // overlap):
        return Units("series", of_series, len(series))
    return Units("origins", of_origin, len(origins), overlap)


def _overlap(options: Mapping[str, str]) -> int:
    """Return the number of consecutive windows whose forecasts overlap."""
    values = (options.get(f"data.{name}", "") for name in ("horizon", "stride"))
    horizon, stride = (int(value) if value.isdigit() else 1 for value in values)
    return max(1, -(-horizon // max(stride, 1)))
