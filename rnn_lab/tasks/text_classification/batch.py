"""The batch of text classification."""

from typing import NamedTuple, Self

import torch
from torch import Tensor


class TextBatch(NamedTuple):
    """Labeled texts of one batch, padded on the right.

    Attributes:
        tokens: Word ids, `(batch, time)` int64, `PAD_ID` after the end of a text.
        labels: Class ids, `(batch,)` int64; with several labels a text, `(batch, num_classes)`
            float32 of zeros and ones.
        lengths: Words in each text, `(batch,)` int64, at least one; stays on the CPU.
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
