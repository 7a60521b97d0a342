"""The batch of translation."""

from typing import NamedTuple, Self

import torch
from torch import Tensor


class PairBatch(NamedTuple):
    """Sentences with their translations of one batch, padded on the right.

    Attributes:
        src: Ids of the source, `(batch, src_len)` int64, `EOS_ID` at the end, then `PAD_ID`.
        trg: Ids of the target, `(batch, trg_len)` int64, `BOS_ID`, the sentence, `EOS_ID`, then
            `PAD_ID`.
        src_lengths: Ids of each source, its end included, `(batch,)` int64; stays on the CPU.
        trg_lengths: Ids of each target, start and end included, `(batch,)` int64; stays on the CPU.
        references: The targets as they were written, in evaluation; none in training.
    """

    src: Tensor
    trg: Tensor
    src_lengths: Tensor
    trg_lengths: Tensor
    references: tuple[str, ...] = ()

    def to(self, device: torch.device, non_blocking: bool = False) -> Self:
        """Move all but lengths and references to the device."""
        return self._replace(
            src=self.src.to(device, non_blocking=non_blocking),
            trg=self.trg.to(device, non_blocking=non_blocking),
        )
