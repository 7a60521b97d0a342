"""The batch of forecasting."""

from typing import NamedTuple, Self

import torch
from torch import Tensor

from rnn_lab.tasks.forecasting.normalization import denormalize, normalize


class WindowBatch(NamedTuple):
    """Windows of time series, scaled by training statistics; NaN where a value is missing.

    Attributes:
        past: Target values of the input window, `(batch, input_length, channels)` float32.
        future: Target values to forecast, `(batch, horizon, channels)` float32.
        past_features: Covariates of the steps of `past`: future covariates first, then past
            covariates, `(batch, input_length, future_dim + past_dim)` float32.
        future_features: Future covariates of the steps of `future`,
            `(batch, horizon, future_dim)` float32.
        static: Numeric static covariates of the series, `(batch, static_dim)` float32.
        category_codes: Categorical static covariates, `(batch, columns)` int64, 0 if unknown.
        location: Value in the original units that is scaled to zero, `(batch, channels)`.
        scale: Difference in the original units that is scaled to one, `(batch, channels)`.
        naive_mae: Mean absolute error of the seasonal naive forecast in training, scaled,
            `(batch, channels)`; the denominator of MASE.
        rows: Index of each window in its split, `(batch,)` int64; stays on the CPU.
    """

    past: Tensor
    future: Tensor
    past_features: Tensor
    future_features: Tensor
    static: Tensor
    category_codes: Tensor
    location: Tensor
    scale: Tensor
    naive_mae: Tensor
    rows: Tensor

    def to_units(self, values: Tensor) -> Tensor:
        """Convert scaled values, `(batch, steps, channels[, levels])`, to the original units."""
        return denormalize(values, self.location.unsqueeze(1), self.scale.unsqueeze(1))

    def from_units(self, values: Tensor) -> Tensor:
        """Scale values in the original units, `(batch, steps, channels[, levels])`."""
        return normalize(values, self.location.unsqueeze(1), self.scale.unsqueeze(1))

    def to(self, device: torch.device, non_blocking: bool = False) -> Self:
        """Move all tensors but the rows to a device."""
        moved = {
            name: getattr(self, name).to(device, non_blocking=non_blocking)
            for name in self._fields
            if name != "rows"
        }
        return self._replace(**moved)
