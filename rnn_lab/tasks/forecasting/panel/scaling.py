"""Scaling statistics of a panel, computed from training rows in bounded memory."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting.panel.panel import Panel

BLOCK = 1 << 16  # rows that are processed at once
CONSTANT = 1e-7  # relative to the mean: a smaller standard deviation is float32 rounding
Kind = Literal["standard", "none"]


@dataclass
class Scaler:
    """Scale the columns of a panel to zero mean and unit variance, targets per series.

    Attributes:
        location: Means of the targets, `(series, channels)` float32.
        scale: Standard deviations of the targets, `(series, channels)` float32, 1 if constant.
        naive_mae: Mean absolute error of the seasonal naive forecast, scaled,
            `(series, channels)` float32; NaN if a series has no two values a season apart.
        feature_location: Means of the other columns over all series, `(features,)` float32.
        feature_scale: Their standard deviations, `(features,)` float32.
        static_location: Means of the static covariates over the series, `(static_dim,)` float32.
        static_scale: Their standard deviations, `(static_dim,)` float32.
    """

    location: np.ndarray
    scale: np.ndarray
    naive_mae: np.ndarray
    feature_location: np.ndarray
    feature_scale: np.ndarray
    static_location: np.ndarray
    static_scale: np.ndarray

    @classmethod
    def fit(
        cls, panel: Panel, ends: np.ndarray, kind: Kind, season_length: int
    ) -> tuple["Scaler", list[str]]:
        """Compute the statistics of the first rows of each series.

        Args:
            panel: The series.
            ends: Number of training rows of each series, `(series,)`.
            kind: `standard`; or `none`, which leaves values unchanged.
            season_length: Rows per season, for `naive_mae`.

        Returns:
            The scaler, and messages to be logged.

        Raises:
            UserError: If the training rows have no value of a target.
        """
        channels = len(panel.targets)
        counts, means, squares = _moments(panel, ends)
        _check_observed(panel, counts.sum(0))
        pooled_mean, pooled_std = _pool(counts, means, squares)
        location = np.where(counts > 0, means, pooled_mean)
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = np.where(counts > 0, np.sqrt(squares / counts), pooled_std)
        scale, notices = _handle_constant(panel, location, scale, ends)
        feature_location = pooled_mean[channels:]
        feature_scale = _without_zeros(pooled_mean, pooled_std)[channels:]
        numeric = panel.numeric[channels:] & (kind == "standard")
        static = (panel.static.mean(0), panel.static.std(0))
        if kind == "none":
            location, scale, notices = np.zeros_like(location), np.ones_like(scale), []
            static = (np.zeros_like(static[0]), np.ones_like(static[1]))
        scaler = cls(
            location=location[:, :channels].astype(np.float32),
            scale=scale[:, :channels].astype(np.float32),
            naive_mae=np.empty(0),
            feature_location=np.where(numeric, feature_location, 0).astype(np.float32),
            feature_scale=np.where(numeric, feature_scale, 1).astype(np.float32),
            static_location=static[0],
            static_scale=_without_zeros(*static).astype(np.float32),
        )
        scaler.naive_mae = _seasonal_naive_mae(panel, ends, season_length) / scaler.scale
        return scaler, notices

    def state_dict(self) -> dict[str, Any]:
        """Return the statistics as plain values."""
        return {name: values.tolist() for name, values in asdict(self).items()}

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> "Scaler":
        """Restore a scaler from its `state_dict`."""
        return cls(**{name: np.array(values, np.float32) for name, values in state.items()})

    def transform(self, panel: Panel) -> np.ndarray:
        """Return the scaled values of a panel, `(rows, columns)` float32."""
        scaled = np.empty_like(panel.values, subok=False)
        channels = self.location.shape[1]
        for low, high, first, codes in _blocks(panel):
            rows, out = panel.values[low:high], scaled[low:high]
            series = first + codes
            out[:, :channels] = (rows[:, :channels] - self.location[series]) / self.scale[series]
            out[:, channels:] = (rows[:, channels:] - self.feature_location) / self.feature_scale
        return scaled


def _blocks(panel: Panel) -> Iterator[tuple[int, int, int, np.ndarray]]:
    """Iterate over blocks of rows: bounds, first series, and the series of each row from it."""
    for low in range(0, len(panel.values), BLOCK):
        high = min(low + BLOCK, len(panel.values))
        first = int(np.searchsorted(panel.offsets, low, "right")) - 1
        last = int(np.searchsorted(panel.offsets, high, "left"))
        bounds = np.clip(panel.offsets[first : last + 1], low, high)
        yield low, high, first, np.repeat(np.arange(last - first), np.diff(bounds))


def _sums(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Sum the rows of each series, `(series, columns)`."""
    return np.add.reduceat(values, np.flatnonzero(np.diff(codes, prepend=-1)))


def _moments(panel: Panel, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute count, mean and sum of squared deviations of each series and column in training."""
    shape = (len(panel.ids), panel.values.shape[1])
    counts, totals, squares = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for values, first, codes in _training_blocks(panel, ends):
        part = slice(first, first + codes[-1] + 1)
        counts[part] += _sums(~np.isnan(values) * 1.0, codes)
        totals[part] += _sums(np.nan_to_num(values, nan=0.0), codes)
    means = totals / np.maximum(counts, 1)
    for values, first, codes in _training_blocks(panel, ends):
        part = slice(first, first + codes[-1] + 1)
        deviations = np.nan_to_num(values - means[first + codes], nan=0.0)
        squares[part] += _sums(deviations**2, codes)
    return counts, means, squares


def _training_blocks(
    panel: Panel, ends: np.ndarray
) -> Iterator[tuple[np.ndarray, int, np.ndarray]]:
    """Iterate over blocks of values, float64, NaN after the training rows, with their series."""
    stops = panel.offsets[:-1] + ends
    for low, high, first, codes in _blocks(panel):
        values = panel.values[low:high].astype(np.float64)
        values[np.arange(low, high) >= stops[first + codes]] = np.nan
        yield values, first, codes


def _seasonal_naive_mae(panel: Panel, ends: np.ndarray, season_length: int) -> np.ndarray:
    """Compute the mean absolute difference of targets one season apart in training."""
    channels = len(panel.targets)
    counts, totals = np.zeros((2, len(panel.ids), channels))
    stops = panel.offsets[:-1] + ends
    for low, high, first, codes in _blocks(panel):
        rows = np.arange(low, high)
        earlier = rows - season_length
        within = (rows < stops[first + codes]) & (earlier >= panel.offsets[first + codes])
        before = panel.values[np.maximum(earlier, 0), :channels].astype(np.float64)
        errors = np.abs(panel.values[low:high, :channels] - before)
        errors[~within] = np.nan
        part = slice(first, first + codes[-1] + 1)
        counts[part] += _sums(~np.isnan(errors) * 1.0, codes)
        totals[part] += _sums(np.nan_to_num(errors, nan=0.0), codes)
    with np.errstate(invalid="ignore"):
        return (totals / counts).astype(np.float32)


def _pool(
    counts: np.ndarray, means: np.ndarray, squares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute mean and standard deviation of each column over all series."""
    total = np.maximum(counts.sum(0), 1)
    mean = (counts * means).sum(0) / total
    spread = squares.sum(0) + (counts * (means - mean) ** 2).sum(0)
    return mean, np.sqrt(spread / total)


def _is_constant(location: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return scale <= CONSTANT * np.abs(location)


def _without_zeros(location: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Replace the standard deviation of constant columns by 1."""
    return np.where(_is_constant(location, scale), 1, scale)


def _check_observed(panel: Panel, counts: np.ndarray) -> None:
    for name, count in zip(panel.targets, counts, strict=False):
        if count == 0:
            raise UserError(
                f"target {name!r} has no value in the training rows: remove it from the targets"
            )


def _handle_constant(
    panel: Panel, location: np.ndarray, scale: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Set the scale of constant columns to 1, and report them."""
    constant = _is_constant(location, scale) & (ends > 0)[:, None]
    notices = []
    for column, name in enumerate(panel.targets):
        series = np.flatnonzero(constant[:, column])
        if len(series):
            where = f" in {len(series)} series, first {panel.ids[series[0]]!r}"
            where = where if panel.ids != [""] else ""
            notices.append(f"{name} is constant in training{where}: centered, not scaled")
    return _without_zeros(location, scale), notices
