"""What a data module gives and a model reads: one named tuple for each kind of batch."""

from typing import NamedTuple, Self

import torch
from torch import Tensor


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


class RegressionBatch(NamedTuple):
    """Series with numbers to be told of each, padded on the right with zeros.

    Attributes:
        values: Features of every step, `(batch, time, input_dim)` float32.
        targets: What is to be told of each series, `(batch, output_dim)` float32.
        lengths: Steps in each series, `(batch,)` int64, at least one; stays on the CPU.
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


class StreamBatch(NamedTuple):
    """The next steps of texts that go on from batch to batch, one text a row.

    Attributes:
        tokens: Word ids, `(batch, time)` int64.
        targets: The word after each, `(batch, time)` int64; `IGNORED` where a row's text is over.
        fresh: Whether the rows begin here: what was read before has nothing to do with them.
        weight: Steps over the usual number, where the number varies; the learning rate of the
            batch is to be multiplied by it.
    """

    tokens: Tensor
    targets: Tensor
    fresh: bool
    weight: float = 1.0

    def to(self, device: torch.device, non_blocking: bool = False) -> Self:
        """Move the words to the device."""
        return self._replace(
            tokens=self.tokens.to(device, non_blocking=non_blocking),
            targets=self.targets.to(device, non_blocking=non_blocking),
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


class WindowBatch(NamedTuple):
    """Windows of time series: what was seen, and what came after; scaled, NaN where not observed.

    Attributes:
        past: The series as far as it is seen, `(batch, input_length, channels)` float32.
        future: What is to be forecast, `(batch, horizon, channels)` float32.
        past_features: What else is seen at the steps of `past`: first what is known beforehand,
            then what is only observed, `(batch, input_length, known + observed)` float32.
        future_features: What is known of the steps of `future`, `(batch, horizon, known)` float32.
        static: Numbers that say something of the whole series, `(batch, statics)` float32.
        categories: Categories of the whole series, `(batch, kinds)` int64, 0 for an unknown one.
        location: Where zero of the scaled values lies in the user's units, `(batch, channels)`.
        scale: How large one is in the user's units, `(batch, channels)`.
        naive: Mean absolute difference over a season in training, scaled, `(batch, channels)`.
        rows: Number of each window in its split, `(batch,)` int64; stays on the CPU.
    """

    past: Tensor
    future: Tensor
    past_features: Tensor
    future_features: Tensor
    static: Tensor
    categories: Tensor
    location: Tensor
    scale: Tensor
    naive: Tensor
    rows: Tensor

    def to(self, device: torch.device, non_blocking: bool = False) -> Self:
        """Move all but the rows to the device."""
        moved = {
            name: getattr(self, name).to(device, non_blocking=non_blocking)
            for name in self._fields
            if name != "rows"
        }
        return self._replace(**moved)
