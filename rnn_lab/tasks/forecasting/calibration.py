"""Prediction intervals of point forecasts by split conformal prediction.

The conformal score of a value is its absolute error divided by the standard deviation of its input
window. An interval reaches as far as a quantile of the scores on held-out windows.

Source: Lei et al. (2018), https://arxiv.org/abs/1604.04173, section 5.2, for scaled scores.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.metrics import Forecast

# Log-spaced histogram of scores from 1e-5 to 1e4; the last bin counts all larger scores.
BINS, MIN_EXPONENT, DECADES = 2048, -5.0, 9.0
MIN_STD = 1e-5  # a window with a smaller standard deviation is constant
MAX_GROUPS = 4096  # histograms at most, one for each step and channel


def conformal_scores(point: Tensor, batch: WindowBatch) -> Tensor:
    """Compute the scores of point forecasts, `(batch, horizon, channels)`.

    They are NaN where the target is missing, and infinite where only the forecast is.
    """
    scores = (point - batch.future).abs() / window_std(batch.past)
    return torch.where(point.isnan() & ~batch.future.isnan(), torch.inf, scores)


def window_std(past: Tensor) -> Tensor:
    """Compute the standard deviation of the observed values of each window.

    Args:
        past: Windows, `(batch, input_length, channels)`, NaN where missing.

    Returns:
        `(batch, 1, channels)`; 1 if the window is constant or has no observed value.
    """
    mean = past.nanmean(1, keepdim=True)
    std = (past - mean).square().nanmean(1, keepdim=True).sqrt()
    return torch.where(std > MIN_STD, std, 1)


class Calibration(Metric):
    """Collect conformal scores for `conformalize`.

    Scores are counted in a histogram for each step and, unless there are many, each channel. Memory
    is bounded and histograms of several processes can be added. A quantile read from a histogram is
    exact to within half a percent.

    Args:
        horizon: Steps to forecast.
        channels: Target values per step.
    """

    full_state_update = False
    histogram: Tensor

    def __init__(self, horizon: int, channels: int) -> None:
        super().__init__()
        self.groups = channels if horizon * channels <= MAX_GROUPS else 1
        shape = (horizon, self.groups, BINS)
        self.add_state("histogram", torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Forecast, targets: WindowBatch) -> None:
        """Add a batch; missing values are ignored."""
        scores = conformal_scores(predictions.point, targets)
        bins = (scores.log10() - MIN_EXPONENT) * (BINS / DECADES)
        observed = ~scores.isnan()
        bins = bins.nan_to_num(0, posinf=BINS - 1, neginf=0).clamp(0, BINS - 1).long()
        steps, groups = self.histogram.shape[:2]
        group = torch.arange(bins.size(2), device=scores.device) % groups
        step = torch.arange(steps, device=scores.device).unsqueeze(1)
        index = ((step * groups + group) * BINS + bins)[observed]
        counts = torch.bincount(index, minlength=self.histogram.numel())
        self.histogram += counts.view_as(self.histogram)

    def compute(self) -> Tensor:
        """Return the number of scores in each bin, `(horizon, groups, BINS)`."""
        return self.histogram

    @property
    def update_called(self) -> bool:
        """Always true: a process may legitimately have seen no window."""
        return True


def conformalize(
    forecast: Forecast, past: Tensor, histogram: Tensor, levels: tuple[float, ...]
) -> Forecast:
    """Add the quantiles that a calibration gives to a point forecast.

    Args:
        forecast: Point forecast.
        past: Input windows, `(batch, input_length, channels)`.
        histogram: Result of a `Calibration`.
        levels: Levels of the quantiles.
    """
    radius = histogram_radius(histogram, central_coverage(levels))
    return add_intervals(forecast, past, radius, levels)


def add_intervals(
    forecast: Forecast, past: Tensor, radius: Tensor, levels: tuple[float, ...]
) -> Forecast:
    """Add quantiles at a distance from a point forecast.

    Args:
        forecast: Point forecast.
        past: Input windows, `(batch, input_length, channels)`.
        radius: Distance of each level in standard deviations of the window,
            `(levels, horizon, channels or 1)`.
        levels: Levels of the quantiles; below 0.5 the distance is subtracted.
    """
    sign = past.new_tensor([level - 0.5 for level in levels]).sign().view(-1, 1, 1)
    offset = (sign * radius.to(past)).movedim(0, -1) * window_std(past).unsqueeze(-1)
    return Forecast(forecast.point, forecast.point.unsqueeze(-1) + offset, levels)


def central_coverage(levels: Sequence[float]) -> list[float]:
    """Return the coverage of the central interval that each level bounds: 0.8 for 0.1 and 0.9."""
    return [round(abs(2 * level - 1), 6) for level in levels]


def histogram_radius(histogram: Tensor, coverages: Sequence[float]) -> Tensor:
    """Compute the conformal quantiles of scores that are counted in a histogram.

    Args:
        histogram: Result of a `Calibration`, `(horizon, groups, BINS)`.
        coverages: Probabilities that a score is not exceeded.

    Returns:
        `(coverages, horizon, groups)`; NaN if there are too few scores, or if the quantile is
        beyond the histogram.
    """
    cumulative = histogram.cumsum(-1).double()
    count = cumulative[..., -1:]
    radii = []
    for coverage in coverages:
        rank = torch.ceil((count + 1) * coverage)
        index = torch.searchsorted(cumulative, rank).clamp(max=BINS - 1)
        below = torch.where(index > 0, cumulative.gather(-1, (index - 1).clamp(min=0)), 0.0)
        fraction = (rank - below) / histogram.gather(-1, index).clamp(min=1)
        exponent = (index + fraction.clamp(0, 1)) * (DECADES / BINS) + MIN_EXPONENT
        undefined = (rank > count) | ((index == BINS - 1) & (rank > 0))
        radii.append(torch.where(undefined, torch.nan, 10**exponent).squeeze(-1))
    return torch.stack(radii)


def exact_radius(scores: np.ndarray, coverages: Sequence[float]) -> Tensor:
    """Compute the conformal quantiles of scores.

    Args:
        scores: `(windows, horizon, channels)`, NaN where missing.
        coverages: Probabilities that a score is not exceeded; each is computed once.

    Returns:
        `(coverages, horizon, channels)`; NaN if there are too few scores, or if the quantile is
        infinite.
    """
    ordered = np.sort(scores, axis=0)  # NaN last
    ordered = np.concatenate([ordered, np.full((1, *scores.shape[1:]), np.nan)])
    count = (~np.isnan(scores)).sum(0)
    radii: dict[float, np.ndarray] = {}
    for coverage in set(coverages):
        rank = np.ceil((count + 1) * coverage).astype(np.int64)
        index = np.where(rank > count, len(scores), np.maximum(rank - 1, 0))
        values = np.take_along_axis(ordered, index[None], 0)[0]
        values = np.where(rank == 0, 0, np.where(np.isinf(values), np.nan, values))
        radii[coverage] = values.astype(np.float32)
    return torch.from_numpy(np.stack([radii[coverage] for coverage in coverages]))


def scores_needed(coverage: float) -> int:
    """Return the least number of scores that calibrates an interval: 4 for 0.8, 19 for 0.95."""
    return math.ceil(round(coverage / (1 - coverage), 6))


def uncalibrated(histogram: Tensor, coverages: Sequence[float]) -> list[str]:
    """Describe the intervals that a calibration cannot give at some step.

    Args:
        histogram: Result of a `Calibration`.
        coverages: Nominal coverages of the intervals.

    Returns:
        A sentence for each of them.
    """
    if not coverages:
        return []
    radius = histogram_radius(histogram, coverages)
    fewest = int(histogram.sum(-1).min())
    messages = []
    for coverage, missing in zip(coverages, radius.isnan().any((1, 2)).tolist(), strict=True):
        if missing:
            need = scores_needed(coverage)
            reason = f"a step has {fewest} values in validation and needs {need}"
            if fewest >= need:
                reason = "forecasts of validation are not finite, or far from the values"
            messages.append(
                f"the {100 * coverage:g}% interval is not calibrated and left empty: {reason}"
            )
    return messages
