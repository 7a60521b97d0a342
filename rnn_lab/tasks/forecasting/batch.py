"""The batch of forecasting."""

from typing import NamedTuple, Self

import torch
from torch import Tensor


class WindowBatch(NamedTuple):
    """Windows of time series: what was seen, and what came after; scaled, NaN where not observed.

    Attributes:
        past: The series as far as it is seen, `(batch, input_length, channels)` float32.
        future: What is to be forecast, `(batch, horizon, channels)` float32.
        past_features: What else is seen at the steps of `past`: first what is known beforehand,
            then what is only observed, `(batch, input_length, known + observed)` float32.
        future_features: What is known of the steps of `future`, `(batch, horizon, known)` float32.
        static: Numbers that say something of the whole series, `(batch, statics)` float32.
        categories: Categories of the whole series, `(batch, kinds)` int64, 0 for an unknown one.
        location: Where zero of the scaled values lies in the user's units, `(batch, channels)`.
        scale: How large one is in the user's units, `(batch, channels)`.
        naive: Mean absolute difference over a season in training, scaled, `(batch, channels)`.
        rows: Number of each window in its split, `(batch,)` int64; stays on the CPU.
    """

    past: Tensor
    future: Tensor
    past_features: Tensor
    future_features: Tensor
    static: Tensor
    categories: Tensor
    location: Tensor
    scale: Tensor
    naive: Tensor
    rows: Tensor

    def to(self, device: torch.device, non_blocking: bool = False) -> Self:
        """Move all but the rows to the device."""
        moved = {
            name: getattr(self, name).to(device, non_blocking=non_blocking)
            for name in self._fields
            if name != "rows"
        }
        return self._replace(**moved)
