"""Simple forecasts that every forecaster has to be better than."""

from abc import abstractmethod
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from rnn_lab.core.task import check_sizes
from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.modules import WindowScaling, last_observed
from rnn_lab.tasks.forecasting.outputs import Parameters
from rnn_lab.tasks.forecasting.task import ForecastTask, steps_and_channels


class DLinearForecaster(ForecastTask):
    """Forecast linearly from the trend of the window and from what is left beside it: a baseline.

    Source: Zeng et al. (2023), https://arxiv.org/abs/2205.13504, DLinear and NLinear.

    Args:
        input_length: Steps seen.
        output_dim: Numbers forecast from a window, horizon times channels.
        horizon: Steps to forecast; None: as many as `output_dim`, of one channel.
        window: Steps of the moving mean that is the trend, an odd number.
        normalization: How each window is scaled, see `Forecaster`; `last` makes it NLinear's.
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
        self.horizon, self.channels = steps_and_channels(output_dim, horizon)
        self.scaling = WindowScaling(normalization, self.channels)
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

    @abstractmethod
    def repeat(self, past: Tensor) -> Tensor:
        """Go on with windows `(batch, time, channels)`: `(batch, horizon, channels)`."""

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


class LinearDecomposition(nn.Module):
    """Forecast linearly: the trend (a moving mean) and the rest, each by one matrix over time.

    Source: Zeng et al. (2023), https://arxiv.org/abs/2205.13504, DLinear.

    Args:
        input_length: Steps seen.
        horizon: Steps to forecast.
        window: Steps of the moving mean, an odd number.
    """

    def __init__(self, input_length: int, horizon: int, window: int = 25) -> None:
        super().__init__()
        if window < 1 or window % 2 == 0:
            raise ValueError(f"window must be odd and at least 1, got {window}")
        self.window = window
        self.trend = nn.Linear(input_length, horizon)
        self.rest = nn.Linear(input_length, horizon)
        for linear in (self.trend, self.rest):
            nn.init.constant_(linear.weight, 1 / input_length)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(rows, input_length)` to `(rows, horizon)`."""
        half = self.window // 2
        padded = torch.cat([x[:, :1].expand(-1, half), x, x[:, -1:].expand(-1, half)], 1)
        trend = padded.unfold(1, self.window, 1).mean(2)
        return self.trend(trend) + self.rest(x - trend)


def repeat_last(past: Tensor, horizon: int) -> Tensor:
    """Go on with the last observed value of `(batch, time, channels)`."""
    return last_observed(past).unsqueeze(1).expand(-1, horizon, -1)


def repeat_season(past: Tensor, horizon: int, season: int) -> Tensor:
    """Go on with the last whole season, again and again.

    What is missing in it is taken from the season before, and so on; without any the last observed
    value stands in.

    Args:
        past: `(batch, time, channels)`, NaN where nothing was observed.
        horizon: Steps to forecast.
        season: Steps of a season.

    Raises:
        ValueError: If the window is shorter than a season.
    """
    if past.size(1) < season:
        raise ValueError(f"a season of {season} steps needs as many inputs, got {past.size(1)}")
    last = past[:, -season:]
    for end in range(past.size(1) - season, season - 1, -season):
        if not torch.isnan(last).any():
            break
        last = torch.where(torch.isnan(last), past[:, end - season : end], last)
    last = torch.where(torch.isnan(last), last_observed(past).unsqueeze(1), last)
    return last.repeat(1, -(-horizon // season), 1)[:, :horizon]


def go_on_straight(past: Tensor, horizon: int) -> Tensor:
    """Go on along the line from the first observed value to the last: drift.

    Source: Hyndman & Athanasopoulos (2021), https://otexts.com/fpp3/simple-methods.html.
    """
    first, last = last_observed(past.flip(1)), last_observed(past)
    steps = torch.arange(past.size(1), device=past.device, dtype=past.dtype).view(1, -1, 1)
    seen = ~torch.isnan(past)
    begin = torch.where(seen, steps, torch.inf).amin(1)
    end = torch.where(seen, steps, -torch.inf).amax(1)
    slope = torch.where(end > begin, (last - first) / (end - begin), 0.0)
    ahead = torch.arange(1, horizon + 1, device=past.device, dtype=past.dtype).view(1, -1, 1)
    ahead = ahead + (past.size(1) - 1 - end.clamp(min=0)).unsqueeze(1)
    return last.unsqueeze(1) + slope.unsqueeze(1) * ahead
