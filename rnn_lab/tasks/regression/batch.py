"""The batch of regression."""

from typing import NamedTuple, Self

import torch
from torch import Tensor


class RegressionBatch(NamedTuple):
    """Sequences of feature vectors with numeric targets, padded on the right with zeros.

    Attributes:
        values: Features of every step, `(batch, time, input_dim)` float32.
        targets: Targets of each sequence, `(batch, output_dim)` float32.
        lengths: Number of steps of each sequence, `(batch,)` int64, at least one; on the CPU.
    """

    values: Tensor
    targets: Tensor
    lengths: Tensor

    def to(self, device: torch.device, non_blocking: bool = False) -> Self:
        """Move all but the lengths to the device."""
        return self._replace(
            values=self.values.to(device, non_blocking=non_blocking),
            targets=self.targets.to(device, non_blocking=non_blocking),
        )
