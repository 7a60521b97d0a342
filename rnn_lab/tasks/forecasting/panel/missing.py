"""Missing values of the rows of a table of series, counted chunk by chunk."""

import numpy as np


class MissingValues:
    """Count the missing values of each series up to its last row with a target.

    Later rows are the future of a series, whose targets are to be forecast.

    Args:
        num_series: Number of series.
        num_targets: Number of targets, which are the first columns.

    Attributes:
        count: Number of missing values.
    """

    def __init__(self, num_series: int, num_targets: int) -> None:
        self.num_targets = num_targets
        self.count = 0
        self._pending = np.zeros(num_series, np.int64)  # missing values after the last target
        self._firsts = np.full(num_series, np.iinfo(np.int64).max)  # first row that misses a value
        self._lasts = np.full(num_series, -1)  # last row with a target

    def add(self, series: np.ndarray, index: np.ndarray, missing: np.ndarray) -> None:
        """Add rows, those of a series in order.

        Args:
            series: Series of each row, `(rows,)`.
            index: Number of each row in its series, `(rows,)`.
            missing: Whether a value is missing, `(rows, columns)`.
        """
        observed = ~missing[:, : self.num_targets].all(1)
        np.maximum.at(self._lasts, series[observed], index[observed])
        counts = missing.sum(1)
        incomplete = counts > 0
        np.minimum.at(self._firsts, series[incomplete], index[incomplete])
        continued = np.unique(series[observed])
        self.count += int(self._pending[continued].sum())
        self._pending[continued] = 0
        future = index > self._lasts[series]
        self.count += int(counts[~future].sum())
        np.add.at(self._pending, series[future], counts[future])

    def first(self) -> tuple[int, int]:
        """Return the first series with missing values, and its first row with one.

        Raises:
            ValueError: If no value is missing.
        """
        found = np.flatnonzero(self._firsts <= self._lasts)
        if len(found) == 0:
            raise ValueError("no value is missing")
        return int(found[0]), int(self._firsts[found[0]])
