"""Generated tasks that ask how long a network remembers: adding numbers, copying symbols."""

from collections.abc import Callable, Iterator
from functools import cached_property
from math import log
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from rnn_lab.batches import RegressionBatch, TaggingBatch
from rnn_lab.data.buckets import LengthBuckets
from rnn_lab.data.module import CountingLoader, LabDataModule
from rnn_lab.errors import UserError
from rnn_lab.special_tokens import PAD_ID

SPLITS = ("train", "valid", "test")
BLANK = PAD_ID + 1  # what is read while there is nothing to say
DELIMITER = PAD_ID + 2  # asks for the symbols
SYMBOL = PAD_ID + 3  # the first of them

Draw = Callable[[np.random.Generator, int], tuple[Tensor, Tensor]]


class DrawnRows:
    """Rows of one length that are drawn when the first of them is asked for, an epoch at a time.

    What is drawn depends on the seed and the epoch alone: neither on the size of batches, nor on
    the number of processes, nor on where a run was resumed.

    Args:
        count: Rows of an epoch.
        length: Steps of each row.
        gives: The batch they make.
        draw: Draws inputs and targets of a number of rows.
        seed: What the rows depend on, together with the epoch.
    """

    def __init__(
        self, count: int, length: int, gives: Callable[..., object], draw: Draw, *seed: int
    ) -> None:
        self.lengths = np.full(count, length)
        self.gives = gives
        self.draw = draw
        self.seed = seed
        self._kept: tuple[int, tuple[Tensor, Tensor]] | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, rows: np.ndarray) -> object:
        """Gather rows of the first epoch into one batch."""
        return self.of_epoch(0, rows)

    def of_epoch(self, epoch: int, rows: np.ndarray) -> object:
        """Gather rows of an epoch into one batch; the rows of one epoch are kept."""
        if self._kept is None or self._kept[0] != epoch:
            self._kept = None  # never two epochs in memory
            self._kept = epoch, self.draw(np.random.default_rng([*self.seed, epoch]), len(self))
        inputs, targets = self._kept[1]
        chosen = torch.from_numpy(rows)
        return self.gives(inputs[chosen], targets[chosen], torch.from_numpy(self.lengths[rows]))


class EachEpochAnew:
    """The rows of a split in the epoch that is being planned.

    Args:
        rows: The rows of all epochs.
        buckets: Plans the epoch.
    """

    def __init__(self, rows: DrawnRows, buckets: LengthBuckets) -> None:
        self.rows = rows
        self.buckets = buckets
        self.lengths = rows.lengths

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: np.ndarray) -> object:
        return self.rows.of_epoch(self.buckets.epoch, rows)


class MemoryDataModule(LabDataModule):
    """Generated rows of one length: each training epoch has its own, the other splits never change.

    Args:
        sizes: Rows of each split; of the training split, rows of each epoch.
        length: Steps of each row.
        data_seed: Another seed draws other rows.
        batch_size: Rows in a batch of one process.
    """

    def __init__(
        self, sizes: dict[str, int], length: int, data_seed: int = 0, batch_size: int = 64
    ) -> None:
        super().__init__(batch_size)
        for name, size in sizes.items():
            if size < 1:
                raise UserError(f"the {name} size must be at least 1, got {size}")
        if data_seed < 0:
            raise UserError(f"data_seed must be at least 0, got {data_seed}")
        self.sizes = sizes
        self.steps = length
        self.data_seed = data_seed

    @property
    def baseline(self) -> float:
        """Loss of the best guess that remembers nothing."""
        raise NotImplementedError(f"{type(self).__name__} does not say what can be guessed")

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Draw inputs and targets of a number of rows."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it draws")

    def split(self, name: str) -> DrawnRows:
        """Open a split, `train`, `valid` or `test`; of training rows the first epoch."""
        return self._splits[name]

    @cached_property
    def _splits(self) -> dict[str, DrawnRows]:
        return dict(self._opened())

    def _opened(self) -> Iterator[tuple[str, DrawnRows]]:
        for number, name in enumerate(SPLITS):
            seed = self.data_seed, number
            rows = DrawnRows(self.sizes[name], self.steps, self.gives, self.draw, *seed)
            yield name, rows

    def _load(self, name: str, shuffle: bool) -> CountingLoader:
        buckets = self._buckets(name, shuffle)
        rows = self.split(name)
        return CountingLoader(EachEpochAnew(rows, buckets) if shuffle else rows, buckets)


class AddingProblem(MemoryDataModule):
    """Generated numbers, two of them marked: their sum is asked for at the end.

    Each step has a number, uniform between 0 and 1, and a marker; one step of each half is marked.
    Who always says 1 has a mean squared error of 1/6, about 0.167. Training rows are drawn anew in
    each epoch, so nothing can be learnt by heart.

    Source: Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735, section
    5.4, as Le et al. (2015), https://arxiv.org/abs/1504.00941, section 4.1, have it.

    Args:
        length: Steps of each row.
        train_size: Rows of a training epoch.
        valid_size: Rows to validate on, the same in every epoch.
        test_size: Rows to test on.
        data_seed: Another seed draws other rows.
        batch_size: Rows in a batch of one process.

    Raises:
        UserError: If a row has less than two steps or a split no row.
    """

    gives = RegressionBatch
    input_dim: ClassVar[int] = 2
    output_dim: ClassVar[int] = 1

    def __init__(
        self,
        length: int = 200,
        train_size: int = 3200,
        valid_size: int = 500,
        test_size: int = 1000,
        data_seed: int = 0,
        *,
        batch_size: int = 32,
    ) -> None:
        if length < 2:
            raise UserError(f"length must be at least 2, got {length}")
        sizes = dict(zip(SPLITS, (train_size, valid_size, test_size), strict=True))
        super().__init__(sizes, length, data_seed, batch_size)

    @property
    def baseline(self) -> float:
        """Mean squared error of saying 1 always: twice the variance of a number."""
        return 2 / 12

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Draw numbers with markers `(count, length, 2)`, and sums `(count, 1)`."""
        half, rows = self.steps // 2, np.arange(count)
        inputs = np.zeros((count, self.steps, 2), np.float32)
        inputs[:, :, 0] = rng.random((count, self.steps), np.float32)
        first, second = rng.integers(half, size=count), rng.integers(half, self.steps, count)
        inputs[rows, first, 1] = inputs[rows, second, 1] = 1
        sums = inputs[rows, first, 0] + inputs[rows, second, 0]
        return torch.from_numpy(inputs), torch.from_numpy(sums[:, None])


class CopyMemory(MemoryDataModule):
    """Generated symbols, to be said again in their order after a long blank.

    A row is `copied` symbols, blanks, a delimiter that ends the delay, and as many blanks again,
    during which the symbols are to be said; before, the answer is blank. Who remembers nothing
    has a loss of `copied * log(symbols) / (delay + 2 * copied)` nats a step. Training rows are
    drawn anew in each epoch.

    Source: Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735, as
    Arjovsky et al. (2016), https://arxiv.org/abs/1511.06464, section 5.1, have it.

    Args:
        delay: Steps between the last symbol and the first that is said, the delimiter among them.
        symbols: Different symbols.
        copied: Symbols of each row.
        train_size: Rows of a training epoch.
        valid_size: Rows to validate on, the same in every epoch.
        test_size: Rows to test on.
        data_seed: Another seed draws other rows.
        batch_size: Rows in a batch of one process.

    Raises:
        UserError: If there is no delay, nothing to copy, nothing to tell apart, or a split has no
            row.
    """

    gives = TaggingBatch
    blank: ClassVar[int] = 0  # the label of steps at which nothing is to be said

    def __init__(
        self,
        delay: int = 100,
        symbols: int = 8,
        copied: int = 10,
        train_size: int = 3200,
        valid_size: int = 500,
        test_size: int = 1000,
        data_seed: int = 0,
        *,
        batch_size: int = 32,
    ) -> None:
        for name, value, least in (
            ("delay", delay, 1),
            ("symbols", symbols, 2),
            ("copied", copied, 1),
        ):
            if value < least:
                raise UserError(f"{name} must be at least {least}, got {value}")
        sizes = dict(zip(SPLITS, (train_size, valid_size, test_size), strict=True))
        super().__init__(sizes, delay + 2 * copied, data_seed, batch_size)
        self.delay = delay
        self.symbols = symbols
        self.copied = copied

    @property
    def vocab_size(self) -> int:
        """Padding, blank, delimiter and the symbols."""
        return SYMBOL + self.symbols

    @property
    def label_names(self) -> list[str]:
        """Blank, and the symbols by their numbers."""
        return ["blank", *map(str, range(1, self.symbols + 1))]

    @property
    def baseline(self) -> float:
        """Loss, in nats a step, of blanks at the right steps and symbols at random."""
        return self.copied * log(self.symbols) / self.steps

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Draw ids that are read and labels that are to be said, `(count, time)` each."""
        drawn = torch.from_numpy(rng.integers(self.symbols, size=(count, self.copied)))
        tokens = torch.full((count, self.steps), BLANK)
        tokens[:, : self.copied] = SYMBOL + drawn
        tokens[:, self.copied + self.delay - 1] = DELIMITER
        labels = torch.full((count, self.steps), self.blank)
        labels[:, -self.copied :] = 1 + drawn
        return tokens, labels
