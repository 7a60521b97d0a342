"""Simple forecasts that every forecaster has to be better than."""

from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from rnn_lab.batches import WindowBatch
from rnn_lab.errors import UserError
from rnn_lab.models.forecasting import ForecastTask, steps_and_channels
from rnn_lab.models.task import check_sizes
from rnn_lab.nn.forecasting import (
    LinearDecomposition,
    WindowScaling,
    go_on_straight,
    repeat_last,
    repeat_season,
)
from rnn_lab.nn.outputs import Parameters


class DLinearForecaster(ForecastTask):
    """Forecast linearly from the trend of the window and from what is left beside it: a baseline.

    Source: Zeng et al. (2023), https://arxiv.org/abs/2205.13504, DLinear and NLinear.

    Args:
        input_length: Steps seen.
        output_dim: Numbers forecast from a window, horizon times channels.
        horizon: Steps to forecast; None: as many as `output_dim`, of one channel.
        window: Steps of the moving mean that is the trend, an odd number.
        normalisation: How each window is scaled, see `Forecaster`; `last` makes it NLinear's.
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
        normalisation: str = "none",
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        check_sizes(self, input_length=input_length, output_dim=output_dim)
        self.horizon, self.channels = steps_and_channels(output_dim, horizon)
        self.scaling = WindowScaling(normalisation, self.channels)
        self.linear = LinearDecomposition(input_length, self.horizon, window)

    def forward(self, x: Tensor) -> Tensor:
        """Forecast windows `(batch, input_length, channels)`: `(batch, output_dim)`."""
        x, location, scale = self.scaling(x)
        rows = x.transpose(1, 2).flatten(0, 1)
        found = self.linear(rows).unflatten(0, (-1, self.channels)).transpose(1, 2)
        return (found * scale + location).flatten(1)

    def parameters_of(self, batch: WindowBatch) -> Parameters:
        """Read a batch: points, `(batch, horizon, channels)`."""
        return (self(batch.past).unflatten(1, (self.horizon, self.channels)),)


class NaiveForecaster(ForecastTask):
    """What needs no training: every forecaster has to be better than these.

    Args:
        output_dim: Numbers forecast from a window, horizon times channels.
        horizon: Steps to forecast; None: as many as `output_dim`, of one channel.
    """

    def __init__(self, output_dim: int = 1, *, horizon: int | None = None) -> None:
        super().__init__()
        self.horizon, self.channels = steps_and_channels(output_dim, horizon)

        self.nothing = nn.Parameter(torch.zeros(()))  # Lightning wants to learn something

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Learn nothing."""
        return torch.optim.SGD(self.parameters(), lr=0.0)

    def training_step(self, batch: WindowBatch, batch_idx: int) -> Tensor:
        """Score a batch, see `Task`; no gradient reaches anything."""
        return super().training_step(batch, batch_idx) + self.nothing

    def forward(self, x: Tensor) -> Tensor:
        """Forecast windows `(batch, time, channels)`: `(batch, output_dim)`."""
        return self.repeat(x).flatten(1)

    def repeat(self, past: Tensor) -> Tensor:
        """Go on with windows `(batch, time, channels)`: `(batch, horizon, channels)`."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it goes on")

    def parameters_of(self, batch: WindowBatch) -> Parameters:
        """Read a batch: points, `(batch, horizon, channels)`."""
        return (self.repeat(batch.past),)


class LastValueForecaster(NaiveForecaster):
    """Go on with the last observed value: a baseline.

    Args:
        output_dim: Numbers forecast from a window, horizon times channels.
        horizon: Steps to forecast; None: as many as `output_dim`, of one channel.
    """

    def repeat(self, past: Tensor) -> Tensor:
        """Go on with windows `(batch, time, channels)`: `(batch, horizon, channels)`."""
        return repeat_last(past, self.horizon)


class SeasonalNaiveForecaster(NaiveForecaster):
    """Go on with the last season, again and again: a baseline.

    Args:
        output_dim: Numbers forecast from a window, horizon times channels.
        horizon: Steps to forecast; None: as many as `output_dim`, of one channel.
        season: Steps of a season; the data says it.
    """

    def __init__(self, output_dim: int = 1, *, horizon: int | None = None, season: int = 1) -> None:
        super().__init__(output_dim, horizon=horizon)
        check_sizes(self, season=season)
        self.season = season

    def repeat(self, past: Tensor) -> Tensor:
        """Go on with windows `(batch, time, channels)`: `(batch, horizon, channels)`."""
        return repeat_season(past, self.horizon, self.season)

    def check_data(self, data: Any) -> None:
        """Refuse windows that are shorter than a season."""
        seen = getattr(data, "input_length", self.season)
        if seen < self.season:
            raise UserError(f"a season of {self.season} steps needs as many inputs, got {seen}")


class DriftForecaster(NaiveForecaster):
    """Go on along the line from the first observed value of the window to the last: a baseline.

    Args:
        output_dim: Numbers forecast from a window, horizon times channels.
        horizon: Steps to forecast; None: as many as `output_dim`, of one channel.
    """

    def repeat(self, past: Tensor) -> Tensor:
        """Go on with windows `(batch, time, channels)`: `(batch, horizon, channels)`."""
        return go_on_straight(past, self.horizon)
