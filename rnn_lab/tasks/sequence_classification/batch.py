"""The batch of sequence classification."""

from typing import NamedTuple, Self

import torch
from torch import Tensor


class SequenceBatch(NamedTuple):
    """Labeled series of one batch, padded on the right with zeros.

    Attributes:
        values: Features of every step, `(batch, time, input_dim)` float32.
        labels: Class ids, `(batch,)` int64.
        lengths: Steps in each series, `(batch,)` int64, at least one; stays on the CPU.
    """

    values: Tensor
    labels: Tensor
    lengths: Tensor

    def to(self, device: torch.device, non_blocking: bool = False) -> Self:
        """Move all but the lengths to the device."""
        return self._replace(
            values=self.values.to(device, non_blocking=non_blocking),
            labels=self.labels.to(device, non_blocking=non_blocking),
        )
