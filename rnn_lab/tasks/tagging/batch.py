"""The batch of tagging."""

from typing import NamedTuple, Self

import torch
from torch import Tensor


class TaggingBatch(NamedTuple):
    """Sequences with a label for every step, padded on the right.

    Attributes:
        tokens: Ids of what is read, `(batch, time)` int64, `PAD_ID` after the end of a sequence.
        labels: Class ids, `(batch, time)` int64; after the end of a sequence never read.
        lengths: Steps in each sequence, `(batch,)` int64, at least one; stays on the CPU.
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
