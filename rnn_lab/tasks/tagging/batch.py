"""The batch of tagging."""

from typing import NamedTuple, Self

import torch
from torch import Tensor


class TaggingBatch(NamedTuple):
    """Sequences of tokens with a label for every step, padded on the right.

    Attributes:
        tokens: Token ids, `(batch, time)` int64, `PAD_ID` on padding.
        labels: Class ids, `(batch, time)` int64; values on padding are ignored.
        lengths: Number of steps of each sequence, `(batch,)` int64, at least one; on the CPU.
    """

    tokens: Tensor
    labels: Tensor
    lengths: Tensor

    def to(self, device: torch.device, non_blocking: bool = False) -> Self:
        """Move all but the lengths to the device."""
        return self._replace(
            tokens=self.tokens.to(device, non_blocking=non_blocking),
            labels=self.labels.to(device, non_blocking=non_blocking),
        )
