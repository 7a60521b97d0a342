"""Baselines: naive forecasts and linear models."""

import logging
from abc import abstractmethod
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from rnn_lab.core.task import check_sizes
from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.normalization import (
    WindowNormalization,
    denormalize,
    last_observed,
)
from rnn_lab.tasks.forecasting.outputs import DistributionParams
from rnn_lab.tasks.forecasting.task import ForecastTask, split_output_dim

log = logging.getLogger(__name__)


class DLinearForecaster(ForecastTask):
    """Linear forecaster on a trend/remainder decomposition of the window (DLinear).

    Source: Zeng et al. (2023), https://arxiv.org/abs/2205.13504, DLinear and NLinear.

    Args:
        input_length: Steps of the input window.
        output_dim: Numbers to forecast: horizon times channels.
        horizon: Steps to forecast; None takes `output_dim`, that is, one channel.
        window: Steps of the moving average that is the trend, an odd number.
        normalization: Normalization of each window, see `WindowNormalization`; `last` is that of
            NLinear.
        optimizer: See `Task`.
        scheduler: See `Task`.
    """

    def __init__(
        self,
        input_length: int,
        output_dim: int = 1,
        *,
        horizon: int | None = None,
        window: int = 25,
        normalization: str = "none",
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        check_sizes(self, input_length=input_length, output_dim=output_dim)
        self.horizon, self.channels = split_output_dim(output_dim, horizon)
        self.normalization = WindowNormalization(normalization, self.channels)
        self.linear = LinearDecomposition(input_length, self.horizon, window)

    def forward(self, x: Tensor) -> Tensor:
        """Map windows `(batch, input_length, channels)` to forecasts `(batch, output_dim)`."""
        x, location, scale = self.normalization(x)
        rows = x.transpose(1, 2).flatten(0, 1)
        rows = rows.to(self.linear.trend.weight.dtype)
        output = self.linear(rows).unflatten(0, (-1, self.channels)).transpose(1, 2)
        return denormalize(output.to(location), location, scale).flatten(1)

    def predict_params(self, batch: WindowBatch) -> DistributionParams:
        """Compute point forecasts, `(batch, horizon, channels)`."""
        return (self(batch.past).unflatten(1, (self.horizon, self.channels)),)


class NaiveForecaster(ForecastTask):
    """Forecast without trained parameters.

    Args:
        output_dim: Numbers to forecast: horizon times channels.
        horizon: Steps to forecast; None takes `output_dim`, that is, one channel.
    """

    def __init__(self, output_dim: int = 1, *, horizon: int | None = None) -> None:
        super().__init__()
        self.horizon, self.channels = split_output_dim(output_dim, horizon)
        self.unused = nn.Parameter(torch.zeros(()))  # Lightning's optimizers need a parameter

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return an optimizer that changes nothing."""
        return torch.optim.SGD(self.parameters(), lr=0.0)

    def training_step(self, batch: WindowBatch, batch_idx: int) -> Tensor:
        """Compute the loss of a batch, see `Task`; its gradient is zero."""
        return super().training_step(batch, batch_idx) + self.unused

    def on_train_epoch_end(self) -> None:
        """End training after the first validation, as further epochs would be equal."""
        super().on_train_epoch_end()
        epochs, trainer = self.current_epoch + 1, self.trainer
        is_validated = epochs % (trainer.check_val_every_n_epoch or 1) == 0
        if is_validated and not trainer.should_stop and epochs != trainer.max_epochs:
            trainer.should_stop = True
            log.info("%s has nothing to train: further epochs would be equal", type(self).__name__)

    def forward(self, x: Tensor) -> Tensor:
        """Map windows `(batch, time, channels)` to forecasts `(batch, output_dim)`."""
        return self.extrapolate(x).flatten(1)

    @abstractmethod
    def extrapolate(self, past: Tensor) -> Tensor:
        """Map windows `(batch, time, channels)` to forecasts `(batch, horizon, channels)`."""

    def predict_params(self, batch: WindowBatch) -> DistributionParams:
        """Compute point forecasts, `(batch, horizon, channels)`."""
        return (self.extrapolate(batch.past),)


class LastValueForecaster(NaiveForecaster):
    """Naive forecast: repeat the last observed value."""

    def extrapolate(self, past: Tensor) -> Tensor:
        """Map windows `(batch, time, channels)` to forecasts `(batch, horizon, channels)`."""
        return repeat_last(past, self.horizon)


class SeasonalNaiveForecaster(NaiveForecaster):
    """Seasonal naive forecast: repeat the last season.

    Args:
        output_dim: Numbers to forecast: horizon times channels.
        horizon: Steps to forecast; None takes `output_dim`, that is, one channel.
        season_length: Steps per season; linked from the data.
    """

    def __init__(
        self, output_dim: int = 1, *, horizon: int | None = None, season_length: int = 1
    ) -> None:
        super().__init__(output_dim, horizon=horizon)
        check_sizes(self, season_length=season_length)
        self.season_length = season_length

    def extrapolate(self, past: Tensor) -> Tensor:
        """Map windows `(batch, time, channels)` to forecasts `(batch, horizon, channels)`."""
        return repeat_season(past, self.horizon, self.season_length)

    def check_data(self, data: Any) -> None:
        """Refuse windows that are shorter than a season."""
        super().check_data(data)
        input_length = getattr(data, "input_length", self.season_length)
        if input_length < self.season_length:
            raise UserError(
                f"season_length={self.season_length} needs input_length of at least "
                f"{self.season_length}, got {input_length}"
            )


class DriftForecaster(NaiveForecaster):
    """Drift forecast: extend the line from the first to the last observed value of the window."""

    def extrapolate(self, past: Tensor) -> Tensor:
        """Map windows `(batch, time, channels)` to forecasts `(batch, horizon, channels)`."""
        return extend_line(past, self.horizon)


class LinearDecomposition(nn.Module):
    """Forecast trend (a moving average) and remainder by one linear map over time each.

    Source: Zeng et al. (2023), https://arxiv.org/abs/2205.13504, DLinear.

    Args:
        input_length: Steps of the input window.
        horizon: Steps to forecast.
        window: Steps of the moving average, an odd number.
    """

    def __init__(self, input_length: int, horizon: int, window: int = 25) -> None:
        super().__init__()
        if window < 1 or window % 2 == 0:
            raise ValueError(f"window must be odd and at least 1, got {window}")
        self.window = window
        self.trend = nn.Linear(input_length, horizon)
        self.remainder = nn.Linear(input_length, horizon)
        for linear in (self.trend, self.remainder):
            nn.init.constant_(linear.weight, 1 / input_length)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(rows, input_length)` to `(rows, horizon)`."""
        half = self.window // 2
        padded = torch.cat([x[:, :1].expand(-1, half), x, x[:, -1:].expand(-1, half)], 1)
        trend = padded.unfold(1, self.window, 1).mean(2)
        return self.trend(trend) + self.remainder(x - trend)


def repeat_last(past: Tensor, horizon: int) -> Tensor:
    """Repeat the last observed value of `(batch, time, channels)`."""
    return last_observed(past).unsqueeze(1).expand(-1, horizon, -1)


def repeat_season(past: Tensor, horizon: int, season_length: int) -> Tensor:
    """Repeat the last season.

    Missing values are taken from earlier seasons; if there are none, from the last observed value.

    Args:
        past: `(batch, time, channels)`, NaN where missing.
        horizon: Steps to forecast.
        season_length: Steps per season.

    Raises:
        ValueError: If the window is shorter than a season.
    """
    if past.size(1) < season_length:
        raise ValueError(
            f"season_length={season_length} needs as many input steps, got {past.size(1)}"
        )
    last = past[:, -season_length:]
    for end in range(past.size(1) - season_length, season_length - 1, -season_length):
        if past.is_cpu and not torch.isnan(last).any():
            break
        last = torch.where(torch.isnan(last), past[:, end - season_length : end], last)
    last = torch.where(torch.isnan(last), last_observed(past).unsqueeze(1), last)
    return last.repeat(1, -(-horizon // season_length), 1)[:, :horizon]


def extend_line(past: Tensor, horizon: int) -> Tensor:
    """Extend the line from the first to the last observed value (drift method).

    Source: Hyndman & Athanasopoulos (2021), https://otexts.com/fpp3/simple-methods.html.
    """
    first, last = last_observed(past.flip(1)), last_observed(past)
    steps = torch.arange(past.size(1), device=past.device, dtype=past.dtype).view(1, -1, 1)
    observed = ~torch.isnan(past)
    begin = torch.where(observed, steps, torch.inf).amin(1)
    end = torch.where(observed, steps, -torch.inf).amax(1)
    slope = torch.where(end > begin, (last - first) / (end - begin), 0.0)
    ahead = torch.arange(1, horizon + 1, device=past.device, dtype=past.dtype).view(1, -1, 1)
    ahead = ahead + (past.size(1) - 1 - end.clamp(min=0)).unsqueeze(1)
    return last.unsqueeze(1) + slope.unsqueeze(1) * ahead
