"""Batch of sequence classification."""

from typing import NamedTuple, Self

import torch
from torch import Tensor


class SequenceBatch(NamedTuple):
    """Labeled sequences, padded with zeros on the right.

    Attributes:
        values: Features per step, `(batch, time, input_dim)` float32.
        labels: Class ids, `(batch,)` int64.
        lengths: Steps in each sequence, `(batch,)` int64, at least 1; on the CPU.
    """

    values: Tensor
    labels: Tensor
    lengths: Tensor

    def to(self, device: torch.device, non_blocking: bool = False) -> Self:
        """Move values and labels to a device; lengths stay on the CPU."""
        return self._replace(
            values=self.values.to(device, non_blocking=non_blocking),
            labels=self.labels.to(device, non_blocking=non_blocking),
        )
