"""Batches of windows and forecasts for tests of metrics."""

import torch

from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.metrics import (
    Forecast,
)
from rnn_lab.tasks.forecasting.outputs import LEVELS

ROWS, PAST, HORIZON, CHANNELS = 30, 8, 5, 3


def batch_of(rows=ROWS, seed=0, missing=0.2):
    """Random windows with missing future values."""
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return torch.randn(*shape, generator=generator)

    past, future = randn(rows, PAST, CHANNELS), randn(rows, HORIZON, CHANNELS)
    future[torch.rand(future.shape, generator=generator) < missing] = torch.nan
    location, scale = 10 * randn(rows, CHANNELS), randn(rows, CHANNELS).exp()
    naive = randn(rows, CHANNELS).exp()
    return WindowBatch(
        past,
        future,
        *past.new_zeros(2, rows, 0, 0),
        past.new_zeros(rows, 0),
        past.new_zeros(rows, 0).long(),
        location,
        scale,
        naive,
        torch.arange(rows),
    )


def forecast_of(batch, seed=5):
    generator = torch.Generator().manual_seed(seed)
    point = 0.5 * torch.randn(batch.future.shape, generator=generator)
    width = torch.rand(batch.future.shape, generator=generator)
    quantiles = point.unsqueeze(-1) + width.unsqueeze(-1) * torch.special.ndtri(
        torch.tensor(LEVELS)
    )
    return Forecast(point, quantiles, LEVELS)


def pick(value, rows):
    """Select rows of a forecast or a batch."""
    parts = (part[rows] if isinstance(part, torch.Tensor) else part for part in value)
    return type(value)(*parts)
