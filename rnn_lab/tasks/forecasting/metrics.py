"""How well series are forecast: errors and intervals, exact over batches and processes."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torchmetrics import Metric

INTERVALS = (0.8, 0.95)  # nominal coverage of what is always measured
BINS, LEAST, DECADES = 2048, -5.0, 9.0  # of a histogram of scores: from 1e-5 to 1e4


class Forecast(NamedTuple):
    """What a model says of the steps to come, in the scale of its batch.

    Attributes:
        point: One number a value, `(batch, horizon, channels)`.
        quantiles: What stays below with the probabilities `levels`,
            `(batch, horizon, channels, levels)`; None where the model gives points alone.
        levels: The probabilities, rising.
    """

    point: Tensor
    quantiles: Tensor | None = None
    levels: tuple[float, ...] = ()

    def quantile(self, level: float) -> Tensor:
        """One of the quantiles, `(batch, horizon, channels)`."""
        assert self.quantiles is not None
        return self.quantiles[..., self.levels.index(level)]


class Windows(Protocol):
    """What errors are measured against: a `WindowBatch`."""

    @property
    def future(self) -> Tensor:
        """What came, `(batch, horizon, channels)`, NaN where not observed."""

    @property
    def location(self) -> Tensor:
        """Where zero lies in the user's units, `(batch, channels)`."""

    @property
    def scale(self) -> Tensor:
        """How large one is in the user's units, `(batch, channels)`."""

    @property
    def naive(self) -> Tensor:
        """Mean absolute difference over a season in training, `(batch, channels)`."""


class ForecastErrors(Metric):
    """Errors over all windows, steps and channels; what was not observed does not count.

    `mse` and `mae` are in the scale of the batch, as published figures on standardized series are.
    `smape` (0 to 200 %) is of values in the user's units; `mase` is over the mean absolute seasonal
    difference in training. Where the model gives quantiles there are also `crps` (over the levels
    from 5 % to 95 %), the shares of values inside the central intervals, `coverage_80` and
    `coverage_95`, and how wide these are, `width_80` and `width_95`, in the scale of the batch.
    Sums and counts are kept, so nothing hangs on the size of batches.

    Source: Hyndman & Koehler (2006), https://doi.org/10.1016/j.ijforecast.2006.03.001, for MASE;
    Gneiting & Raftery (2007), https://doi.org/10.1198/016214506000001437, for the CRPS.

    Args:
        horizon: Steps that are forecast.
        quantiles: Whether forecasts have quantiles.
    """

    full_state_update = False
    sums: Tensor
    counts: Tensor

    def __init__(self, horizon: int, quantiles: bool = False) -> None:
        super().__init__()
        self.names = ["mse", "mae", "smape", "mase"]
        if quantiles:
            for kind in ("coverage", "width"):
                self.names += [f"{kind}_{round(100 * level)}" for level in INTERVALS]
            self.names.insert(4, "crps")
        shape = (len(self.names), horizon)
        for state in ("sums", "counts"):
            self.add_state(state, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predictions: Forecast, targets: Windows) -> None:
        """Take a batch in.

        Args:
            predictions: A forecast.
            targets: The windows it is of.
        """
        future = targets.future
        error = (predictions.point - future).abs()
        scale, location = targets.scale.unsqueeze(1), targets.location.unsqueeze(1)
        size = (predictions.point * scale + location).abs() + (future * scale + location).abs()
        relative = 200 * error * scale / size
        values = [error.square(), error, torch.where(size > 0, relative, 0 * error)]
        values.append(error / targets.naive.unsqueeze(1))
        if len(self.names) > len(values):
            values += _interval_scores(predictions, future)
        for row, value in enumerate(values):
            known = value.isfinite()
            self.sums[row] += torch.where(known, value, 0).sum((0, 2), dtype=torch.float64)
            self.counts[row] += known.sum((0, 2))

    def compute(self) -> dict[str, Tensor]:
        """The mean of each error; NaN where nothing was observed."""
        means = self.sums.sum(1) / self.counts.sum(1)
        return dict(zip(self.names, means, strict=True))

    def by_step(self) -> dict[str, Tensor]:
        """The mean of each error at each step of the horizon, `(horizon,)`; processes gather."""
        with self.sync_context():
            return dict(zip(self.names, self.sums / self.counts, strict=True))

    @property
    def update_called(self) -> bool:
        """Always true: a process that was given no window has counted none."""
        return True


def _interval_scores(forecast: Forecast, future: Tensor) -> list[Tensor]:
    """CRPS, coverages and widths of each value; NaN where they are not known."""
    assert forecast.quantiles is not None
    even = [i for i, level in enumerate(forecast.levels) if 0.05 <= level <= 0.95]
    levels = future.new_tensor([forecast.levels[i] for i in even])
    error = future.unsqueeze(-1) - forecast.quantiles[..., even]
    crps = 2 * torch.maximum(levels * error, (levels - 1) * error).mean(-1)
    bounds = [[forecast.quantile(level) for level in ends(interval)] for interval in INTERVALS]
    inside = [((future >= low) & (future <= high)).to(future.dtype) for low, high in bounds]
    widths = [high - low + 0 * future for low, high in bounds]
    return [crps, *map(torch.Tensor.add, inside, (0 * width for width in widths)), *widths]


def ends(interval: float) -> tuple[float, float]:
    """The levels that bound a central interval, such as 0.1 and 0.9 of 0.8."""
    return round((1 - interval) / 2, 6), round((1 + interval) / 2, 6)


class Calibration(Metric):
    """How far what came lies from the forecast, to make intervals from: split conformal prediction.

    A score is the absolute error over the deviation of the window that was seen. Scores are kept
    as a histogram for each step, and for each channel where channels are few, so that memory is
    bounded and processes can be added up; a quantile read from it is off by less than half a
    percent.

    Source: Lei et al. (2018), https://arxiv.org/abs/1604.04173, section 5.2, for scaled scores.

    Args:
        horizon: Steps that are forecast.
        channels: Values at each step.
    """

    full_state_update = False
    histogram: Tensor

    def __init__(self, horizon: int, channels: int) -> None:
        super().__init__()
        self.groups = channels if horizon * channels <= 4096 else 1
        shape = (horizon, self.groups, BINS)
        self.add_state("histogram", torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Forecast, targets: Any) -> None:
        """Take a batch in; what was not observed does not count."""
        score = (predictions.point - targets.future).abs() / deviation(targets.past)
        places = (score.log10() - LEAST) * (BINS / DECADES)
        known = ~score.isnan()
        places = places.nan_to_num(0, posinf=BINS - 1, neginf=0).clamp(0, BINS - 1).long()
        steps, groups = self.histogram.shape[:2]
        group = torch.arange(places.size(2), device=score.device) % groups
        step = torch.arange(steps, device=score.device).unsqueeze(1)
        flat = ((step * groups + group) * BINS + places)[known]
        counts = torch.bincount(flat, minlength=self.histogram.numel())
        self.histogram += counts.view_as(self.histogram)

    def compute(self) -> Tensor:
        """How many scores lie in each bin, `(horizon, groups, BINS)`."""
        return self.histogram

    @property
    def update_called(self) -> bool:
        """Always true: a process that was given no window has counted none."""
        return True


def widened(
    forecast: Forecast, past: Tensor, histogram: Tensor, levels: tuple[float, ...]
) -> Forecast:
    """Give a forecast of points the quantiles that a calibration makes of it.

    Args:
        forecast: Points.
        past: The windows seen, `(batch, input_length, channels)`.
        histogram: Of a `Calibration`.
        levels: The probabilities of the quantiles.
    """
    reach = radius(histogram, [abs(2 * level - 1) for level in levels])
    return with_reach(forecast, past, reach, levels)


def with_reach(
    forecast: Forecast, past: Tensor, reach: Tensor, levels: tuple[float, ...]
) -> Forecast:
    """Give a forecast of points the quantiles that lie so far from them on either side.

    Args:
        forecast: Points.
        past: The windows seen, `(batch, input_length, channels)`.
        reach: How far, in deviations of the window, `(levels, horizon, channels or 1)`.
        levels: The probabilities of the quantiles.
    """
    side = past.new_tensor([level - 0.5 for level in levels]).sign().view(-1, 1, 1)
    spread = (side * reach.to(past)).movedim(0, -1) * deviation(past).unsqueeze(-1)
    return Forecast(forecast.point, forecast.point.unsqueeze(-1) + spread, levels)


def deviation(past: Tensor) -> Tensor:
    """The deviation of the values that were seen of each window, `(batch, 1, channels)`."""
    mean = past.nanmean(1, keepdim=True)
    found = (past - mean).square().nanmean(1, keepdim=True).sqrt()
    return found.nan_to_num(1).clamp(min=1e-5)


def radius(histogram: Tensor, intervals: Sequence[float]) -> Tensor:
    """How many deviations of its window a value strays at most, with given probabilities.

    Args:
        histogram: Of a `Calibration`, `(horizon, groups, BINS)`.
        intervals: The probabilities.

    Returns:
        `(intervals, horizon, groups)`; infinite where there are too few scores to say.
    """
    below = histogram.cumsum(-1).double()
    count = below[..., -1:]
    rows = []
    for interval in intervals:
        rank = torch.ceil((count + 1) * interval)
        place = torch.searchsorted(below, rank).clamp(max=BINS - 1)
        before = torch.where(place > 0, below.gather(-1, (place - 1).clamp(min=0)), 0.0)
        share = (rank - before) / histogram.gather(-1, place).clamp(min=1)
        exponent = (place + share.clamp(0, 1)) * (DECADES / BINS) + LEAST
        found = torch.where(rank > count, torch.inf, 10**exponent)
        rows.append(found.squeeze(-1))
    return torch.stack(rows)
