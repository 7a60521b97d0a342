"""Batch of text classification."""

from typing import NamedTuple, Self

import torch
from torch import Tensor


class TextBatch(NamedTuple):
    """Labeled texts, padded on the right.

    Attributes:
        tokens: Token ids, `(batch, time)` int64, `PAD_ID` after the end of a text.
        labels: Class ids, `(batch,)` int64; in multi-label data zeros and ones,
            `(batch, num_classes)` float32.
        lengths: Tokens in each text, `(batch,)` int64, at least 1; on the CPU.
    """

    tokens: Tensor
    labels: Tensor
    lengths: Tensor

    def to(self, device: torch.device, non_blocking: bool = False) -> Self:
        """Move tokens and labels to a device; lengths stay on the CPU."""
        return self._replace(
            tokens=self.tokens.to(device, non_blocking=non_blocking),
            labels=self.labels.to(device, non_blocking=non_blocking),
        )
