"""What the values of a panel are divided by: learned from training rows, in bounded memory."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting.panel.panel import Panel

BLOCK = 1 << 16  # rows that are worked on at once
CONSTANT = 1e-7  # of its mean: a smaller deviation is float32 rounding
Kind = Literal["standard", "none"]


@dataclass
class Scaler:
    """Brings the columns of a panel to zero mean and unit deviation, targets by series.

    Attributes:
        location: Means of the targets, `(series, channels)` float32.
        scale: Deviations of the targets, `(series, channels)` float32, 1 where constant.
        naive: Mean absolute difference of targets a season apart, scaled, `(series, channels)`
            float32; NaN where nothing lies a season apart.
        feature_location: Means of the other columns over all series, `(features,)` float32.
        feature_scale: Their deviations, `(features,)` float32.
        static_location: Means of the statics over the series, `(statics,)` float32.
        static_scale: Their deviations, `(statics,)` float32.
    """

    location: np.ndarray
    scale: np.ndarray
    naive: np.ndarray
    feature_location: np.ndarray
    feature_scale: np.ndarray
    static_location: np.ndarray
    static_scale: np.ndarray

    @classmethod
    def fit(
        cls, panel: Panel, ends: np.ndarray, kind: Kind, season: int
    ) -> tuple["Scaler", list[str]]:
        """Learn from the first rows of each series; nothing else is looked at.

        Args:
            panel: The series.
            ends: Training rows of each series, `(series,)`.
            kind: `standard`; or `none`, which leaves values as they are.
            season: Rows of a season, for `naive`.

        Returns:
            The scaler, and what was noticed.

        Raises:
            UserError: If the training rows have no value of a target at all.
        """
        channels = len(panel.targets)
        counts, means, squares = _moments(panel, ends)
        _check_observed(panel, counts.sum(0))
        shared, deviation = _pooled(counts, means, squares)
        location = np.where(counts > 0, means, shared)
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = np.where(counts > 0, np.sqrt(squares / counts), deviation)
        scale, notices = _told(panel, location, scale, ends)
        features, wide = shared[channels:], _usable(shared, deviation)[channels:]
        measured = panel.measured[channels:] & (kind == "standard")
        static = (panel.static.mean(0), panel.static.std(0))
        if kind == "none":
            location, scale, notices = np.zeros_like(location), np.ones_like(scale), []
            static = (np.zeros_like(static[0]), np.ones_like(static[1]))
        made = cls(
            location=location[:, :channels].astype(np.float32),
            scale=scale[:, :channels].astype(np.float32),
            naive=np.empty(0),
            feature_location=np.where(measured, features, 0).astype(np.float32),
            feature_scale=np.where(measured, wide, 1).astype(np.float32),
            static_location=static[0],
            static_scale=_usable(*static).astype(np.float32),
        )
        made.naive = _seasonal(panel, ends, season) / made.scale
        return made, notices

    def state_dict(self) -> dict[str, Any]:
        """The scaler as plain values."""
        return {name: values.tolist() for name, values in asdict(self).items()}

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> "Scaler":
        """Take up what `state_dict` gave."""
        return cls(**{name: np.array(values, np.float32) for name, values in state.items()})

    def apply(self, panel: Panel) -> np.ndarray:
        """Scale all values of a panel into new memory, `(rows, columns)` float32."""
        scaled = np.empty_like(panel.buffer, subok=False)
        channels = self.location.shape[1]
        for low, high, first, codes in _blocks(panel):
            rows, to = panel.buffer[low:high], scaled[low:high]
            series = first + codes
            to[:, :channels] = (rows[:, :channels] - self.location[series]) / self.scale[series]
            to[:, channels:] = (rows[:, channels:] - self.feature_location) / self.feature_scale
        return scaled


def _blocks(panel: Panel) -> Iterator[tuple[int, int, int, np.ndarray]]:
    """Cut the rows into blocks: their bounds, the first series, the series of each row from it."""
    for low in range(0, len(panel.buffer), BLOCK):
        high = min(low + BLOCK, len(panel.buffer))
        first = int(np.searchsorted(panel.offsets, low, "right")) - 1
        last = int(np.searchsorted(panel.offsets, high, "left"))
        inside = np.clip(panel.offsets[first : last + 1], low, high)
        yield low, high, first, np.repeat(np.arange(last - first), np.diff(inside))


def _sums(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Add up the rows of each series, `(series, columns)`."""
    return np.add.reduceat(values, np.flatnonzero(np.diff(codes, prepend=-1)))


def _moments(panel: Panel, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, mean and sum of squared deviations of each series and column in training."""
    shape = (len(panel.ids), panel.buffer.shape[1])
    counts, totals, squares = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for values, first, codes in _training(panel, ends):
        part = slice(first, first + codes[-1] + 1)
        counts[part] += _sums(~np.isnan(values) * 1.0, codes)
        totals[part] += _sums(np.nan_to_num(values, nan=0.0), codes)
    means = totals / np.maximum(counts, 1)
    for values, first, codes in _training(panel, ends):
        part = slice(first, first + codes[-1] + 1)
        apart = np.nan_to_num(values - means[first + codes], nan=0.0)
        squares[part] += _sums(apart**2, codes)
    return counts, means, squares


def _training(panel: Panel, ends: np.ndarray) -> Iterator[tuple[np.ndarray, int, np.ndarray]]:
    """Blocks of values, float64, NaN beyond training, with their series."""
    stops = panel.offsets[:-1] + ends
    for low, high, first, codes in _blocks(panel):
        values = panel.buffer[low:high].astype(np.float64)
        values[np.arange(low, high) >= stops[first + codes]] = np.nan
        yield values, first, codes


def _seasonal(panel: Panel, ends: np.ndarray, season: int) -> np.ndarray:
    """Mean absolute difference of targets a season apart in training, NaN where there is none."""
    channels = len(panel.targets)
    counts, totals = np.zeros((2, len(panel.ids), channels))
    stops = panel.offsets[:-1] + ends
    for low, high, first, codes in _blocks(panel):
        rows = np.arange(low, high)
        within = (rows < stops[first + codes]) & (rows - season >= panel.offsets[first + codes])
        before = panel.buffer[np.maximum(rows - season, 0), :channels].astype(np.float64)
        apart = np.abs(panel.buffer[low:high, :channels] - before)
        apart[~within] = np.nan
        part = slice(first, first + codes[-1] + 1)
        counts[part] += _sums(~np.isnan(apart) * 1.0, codes)
        totals[part] += _sums(np.nan_to_num(apart, nan=0.0), codes)
    with np.errstate(invalid="ignore"):
        return (totals / counts).astype(np.float32)


def _pooled(
    counts: np.ndarray, means: np.ndarray, squares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each column over all series."""
    total = np.maximum(counts.sum(0), 1)
    mean = (counts * means).sum(0) / total
    spread = squares.sum(0) + (counts * (means - mean) ** 2).sum(0)
    return mean, np.sqrt(spread / total)


def _usable(location: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Deviations to divide by: 1 where a column is constant."""
    return np.where(scale <= CONSTANT * np.abs(location), 1, scale)


def _check_observed(panel: Panel, counts: np.ndarray) -> None:
    for name, count in zip(panel.targets, counts, strict=False):
        if count == 0:
            raise UserError(f"column {name!r} has no value in training: leave it out")


def _told(
    panel: Panel, location: np.ndarray, scale: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Leave constant columns unscaled, and say which they are."""
    usable = _usable(location, scale)
    constant = (scale <= CONSTANT * np.abs(location)) & (ends > 0)[:, None]
    notices = []
    for column, name in enumerate(panel.targets):
        series = np.flatnonzero(constant[:, column])
        if len(series):
            where = f" in {len(series)} series, first {panel.ids[series[0]]!r}"
            told = where if panel.ids != [""] else ""
            notices.append(f"{name} is constant in training{told}: centered, not scaled")
    return usable, notices
