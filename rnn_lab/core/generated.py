"""Generated data: rows that depend on a seed, a split and an epoch alone."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from rnn_lab.core.datamodule import LabDataModule, ResumableLoader
from rnn_lab.core.samplers import BucketBatchSampler
from rnn_lab.errors import UserError

SPLITS = ("train", "valid", "test")
Draw = Callable[[np.random.Generator, int], tuple[Tensor, Tensor]]


class GeneratedDataset:
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
        self.batch_type = gives
        self.generate = draw
        self.seed = seed
        self._kept: tuple[int, tuple[Tensor, Tensor]] | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, rows: np.ndarray) -> object:
        """Gather rows of the first epoch into one batch."""
        return self.gather(0, rows)

    def gather(self, epoch: int, rows: np.ndarray) -> object:
        """Gather rows of an epoch into one batch; the rows of one epoch are kept."""
        if self._kept is None or self._kept[0] != epoch:
            self._kept = None  # never two epochs in memory
            self._kept = epoch, self.generate(np.random.default_rng([*self.seed, epoch]), len(self))
        inputs, targets = self._kept[1]
        chosen = torch.from_numpy(rows)
        return self.batch_type(
            inputs[chosen], targets[chosen], torch.from_numpy(self.lengths[rows])
        )


class RegeneratedEachEpoch:
    """The rows of a split in the epoch that is being planned.

    Args:
        rows: The rows of all epochs.
        buckets: Plans the epoch.
    """

    def __init__(self, rows: GeneratedDataset, buckets: BucketBatchSampler) -> None:
        self.rows = rows
        self.buckets = buckets
        self.lengths = rows.lengths

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: np.ndarray) -> object:
        return self.rows.gather(self.buckets.epoch, rows)


class LongRangeDataModule(LabDataModule):
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
    @abstractmethod
    def baseline(self) -> float:
        """Loss of the best guess that remembers nothing."""

    @abstractmethod
    def generate(self, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Draw inputs and targets of a number of rows."""

    def split(self, name: str) -> GeneratedDataset:
        """Open a split, `train`, `valid` or `test`; of training rows the first epoch."""
        return self._splits[name]

    @cached_property
    def _splits(self) -> dict[str, GeneratedDataset]:
        return dict(self._opened())

    def _opened(self) -> Iterator[tuple[str, GeneratedDataset]]:
        for number, name in enumerate(SPLITS):
            seed = self.data_seed, number
            rows = GeneratedDataset(
                self.sizes[name], self.steps, self.batch_type, self.generate, *seed
            )
            yield name, rows

    def _make_loader(self, name: str, shuffle: bool) -> ResumableLoader:
        buckets = self._make_sampler(name, shuffle)
        rows = self.split(name)
        return ResumableLoader(RegeneratedEachEpoch(rows, buckets) if shuffle else rows, buckets)


def check_generation_args(count: int, split: str) -> None:
    if split not in SPLITS:
        raise UserError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if count < 0:
        raise UserError(f"count must be at least 0, got {count}")
