"""Errors and interval scores of forecasts, exact over batches and processes."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from rnn_lab.tasks.forecasting.batch import WindowBatch

WINDOW_ERRORS = ("mse", "mae", "smape", "mase", "crps")
INTERVALS = (0.8, 0.95)  # nominal coverage of the evaluated central intervals


class Forecast(NamedTuple):
    """Forecast of a batch, in the scale of the batch.

    Attributes:
        point: Point forecast, `(batch, horizon, channels)`.
        quantiles: Quantiles, `(batch, horizon, channels, levels)`; None for point forecasts.
        levels: Levels of the quantiles, increasing.
    """

    point: Tensor
    quantiles: Tensor | None = None
    levels: tuple[float, ...] = ()

    def quantile(self, level: float) -> Tensor:
        """Return one of the quantiles, `(batch, horizon, channels)`."""
        assert self.quantiles is not None
        return self.quantiles[..., self.levels.index(level)]


def interval_levels(coverage: float) -> tuple[float, float]:
    """Return the levels that bound a central interval, such as 0.1 and 0.9 of 0.8."""
    return round((1 - coverage) / 2, 6), round((1 + coverage) / 2, 6)


class ForecastErrors(Metric):
    """Errors averaged over all windows, steps and channels; missing targets are ignored.

    A forecast of an observed target that is not finite makes its errors NaN or infinite.

    `mse` and `mae` are in the scale of the batch, as in published results on standardized series.
    `smape` (0 to 200 %) is computed in the original units; `mase` divides by the mean absolute
    error of the seasonal naive forecast in training. Forecasts with quantiles also have `crps`
    (over the levels from 5 % to 95 %), the empirical coverage of the central intervals,
    `coverage_80` and `coverage_95`, and their width, `width_80` and `width_95`, in the scale of the
    batch. The metric keeps sums and counts, so results do not depend on the batch size.

    Source: Hyndman & Koehler (2006), https://doi.org/10.1016/j.ijforecast.2006.03.001, for MASE;
    Gneiting & Raftery (2007), https://doi.org/10.1198/016214506000001437, for the CRPS.

    Args:
        horizon: Steps to forecast.
        quantiles: Whether forecasts have quantiles.
    """

    full_state_update = False
    sums: Tensor
    counts: Tensor

    def __init__(self, horizon: int, quantiles: bool = False) -> None:
        super().__init__()
        self.names = ["mse", "mae", "smape", "mase"]
        if quantiles:
            for name in ("coverage", "width"):
                self.names += [f"{name}_{round(100 * coverage)}" for coverage in INTERVALS]
            self.names.insert(4, "crps")
        shape = (len(self.names), horizon)
        for state in ("sums", "counts"):
            self.add_state(state, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predictions: Forecast, targets: WindowBatch) -> None:
        """Add a batch.

        Args:
            predictions: Forecast of the batch.
            targets: The batch.
        """
        errors = value_errors(predictions, targets, self.names[4:] != [])
        for row, (value, defined) in enumerate(errors.values()):
            self.sums[row] += torch.where(defined, value, 0).sum((0, 2))
            self.counts[row] += defined.sum((0, 2))

    def compute(self) -> dict[str, Tensor]:
        """Return the mean of each error; NaN if no value was observed."""
        means = self.sums.sum(1) / self.counts.sum(1)
        return dict(zip(self.names, means, strict=True))

    def by_step(self) -> dict[str, Tensor]:
        """Return the mean of each error per step, `(horizon,)`; synchronizes processes."""
        with self.sync_context():
            return dict(zip(self.names, self.sums / self.counts, strict=True))

    @property
    def update_called(self) -> bool:
        """Always true: a process may legitimately have seen no window."""
        return True


def value_errors(
    forecast: Forecast, batch: WindowBatch, quantiles: bool
) -> dict[str, tuple[Tensor, Tensor]]:
    """Compute the errors of each value in float64, see `ForecastErrors`.

    Args:
        forecast: Forecast of the batch.
        batch: The batch.
        quantiles: Whether to compute the scores of quantiles, too.

    Returns:
        For each error its values, `(batch, horizon, channels)`, and where it is defined: where the
        target was observed, and for MASE the naive error is above zero.
    """
    observed = ~torch.isnan(batch.future)
    point, future, scale, naive = (
        values.double() for values in (forecast.point, batch.future, batch.scale, batch.naive_mae)
    )
    error = (point - future).abs()
    location, scale, naive = (x.unsqueeze(1) for x in (batch.location.double(), scale, naive))
    size = (point * scale + location).abs() + (future * scale + location).abs()
    relative = torch.where(size == 0, 0, 200 * error * scale / size)
    errors = {"mse": error.square(), "mae": error, "smape": relative, "mase": error / naive}
    if quantiles:
        errors |= _interval_scores(forecast, future)
    defined = dict.fromkeys(errors, observed)
    defined["mase"] = observed & (naive > 0)
    return {name: (values, defined[name]) for name, values in errors.items()}


def window_errors(forecast: Forecast, batch: WindowBatch) -> dict[str, Tensor]:
    """Compute the errors of each window, means over its observed steps and channels.

    Args:
        forecast: Forecast of the batch.
        batch: The batch.

    Returns:
        `mse`, `mae`, `smape`, `mase` and with quantiles `crps`, see `ForecastErrors`, `(batch,)`;
        and the number of `values` they are means of. They are NaN if there are none, as is `mase`
        if the naive error of training is zero.
    """
    errors = value_errors(forecast, batch, forecast.quantiles is not None)
    means = {
        name: torch.where(defined, values, 0).sum((1, 2)) / defined.sum((1, 2))
        for name, (values, defined) in errors.items()
        if name in WINDOW_ERRORS
    }
    return {"values": errors["mse"][1].sum((1, 2)), **means}


def _interval_scores(forecast: Forecast, future: Tensor) -> dict[str, Tensor]:
    """Compute CRPS, coverage and width for each value; NaN where a quantile is undefined."""
    assert forecast.quantiles is not None
    inner = [i for i, level in enumerate(forecast.levels) if 0.05 <= level <= 0.95]
    levels = future.new_tensor([forecast.levels[i] for i in inner])
    error = future.unsqueeze(-1) - forecast.quantiles[..., inner]
    scores = {"crps": 2 * torch.maximum(levels * error, (levels - 1) * error).mean(-1)}
    bounds = {
        round(100 * coverage): [forecast.quantile(level) for level in interval_levels(coverage)]
        for coverage in INTERVALS
    }
    widths = {name: (high - low).double() for name, (low, high) in bounds.items()}
    for name, (low, high) in bounds.items():
        inside = ((future >= low) & (future <= high)).to(future.dtype)
        scores[f"coverage_{name}"] = inside + 0 * widths[name]
    return scores | {f"width_{name}": width for name, width in widths.items()}
