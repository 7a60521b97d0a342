"""What a data module gives and a model reads: one named tuple for each kind of batch."""

from typing import NamedTuple, Self

import torch
from torch import Tensor

PAD_ID = 0
UNK_ID = 1
BOS_ID = 2  # only where a text is also written
EOS_ID = 3


class TextBatch(NamedTuple):
    """Labelled texts of one batch, padded on the right.

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


class SeriesBatch(NamedTuple):
    """Labelled series of one batch, padded on the right with zeros.

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
