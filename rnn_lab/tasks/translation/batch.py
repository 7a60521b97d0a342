"""The batch of translation."""

from typing import NamedTuple, Self

import torch
from torch import Tensor


class PairBatch(NamedTuple):
    """Sentence pairs of one batch, padded on the right.

    Attributes:
        src: Source ids, `(batch, src_len)` int64: the sentence, `EOS_ID`, then `PAD_ID`.
        trg: Target ids, `(batch, trg_len)` int64: `BOS_ID`, the sentence, `EOS_ID`, then `PAD_ID`.
        src_lengths: Ids of each source, end token included, `(batch,)` int64; stays on the CPU.
        trg_lengths: Ids of each target, start and end token included, `(batch,)` int64; stays on
            the CPU.
        references: Raw text of the targets in evaluation; empty in training.
    """

    src: Tensor
    trg: Tensor
    src_lengths: Tensor
    trg_lengths: Tensor
    references: tuple[str, ...] = ()

    def to(self, device: torch.device, non_blocking: bool = False) -> Self:
        """Move the ids to the device; lengths and references stay on the CPU."""
        return self._replace(
            src=self.src.to(device, non_blocking=non_blocking),
            trg=self.trg.to(device, non_blocking=non_blocking),
        )
