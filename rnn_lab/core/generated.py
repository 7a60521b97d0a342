"""Generated data: rows that depend only on seed, split and epoch."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from rnn_lab.core.datamodule import LabDataModule, ResumableLoader
from rnn_lab.core.samplers import BucketBatchSampler
from rnn_lab.errors import UserError

SPLITS = ("train", "valid", "test")
MAX_BYTES = 1 << 30  # of memory or storage for the generated rows of a split
TEXT_BYTES = 1 << 10  # of a generated text, with its tokens
Generate = Callable[[np.random.Generator, int], tuple[Tensor, Tensor]]


class GeneratedDataset:
    """Rows of equal length, generated one epoch at a time on first access.

    The rows depend only on the seed and the epoch: neither on the batch size, nor on the number of
    processes, nor on where a run was resumed.

    Args:
        count: Rows per epoch.
        length: Steps of each row.
        batch_type: Class of the batches.
        generate: Generates inputs and targets of a number of rows.
        seed: Numbers that seed the generator, together with the epoch.
    """

    def __init__(
        self,
        count: int,
        length: int,
        batch_type: Callable[..., object],
        generate: Generate,
        *seed: int,
    ) -> None:
        self.lengths = np.full(count, length)
        self.batch_type = batch_type
        self.generate = generate
        self.seed = seed
        self._cached: tuple[int, tuple[Tensor, Tensor]] | None = None  # epoch and its rows

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, rows: np.ndarray) -> object:
        """Gather rows of the first epoch into one batch."""
        return self.gather(0, rows)

    def gather(self, epoch: int, rows: np.ndarray) -> object:
        """Gather rows of an epoch into one batch; the rows of the last epoch used are cached."""
        if self._cached is None or self._cached[0] != epoch:
            self._cached = None  # never two epochs in memory
            rng = np.random.default_rng([*self.seed, epoch])
            self._cached = epoch, self.generate(rng, len(self))
        inputs, targets = self._cached[1]
        index = torch.from_numpy(rows)
        return self.batch_type(inputs[index], targets[index], torch.from_numpy(self.lengths[rows]))


class RegeneratedEachEpoch:
    """Rows of a split in the current epoch of a sampler.

    Args:
        rows: Rows of all epochs.
        sampler: Sampler whose epoch is used.
    """

    def __init__(self, rows: GeneratedDataset, sampler: BucketBatchSampler) -> None:
        self.rows = rows
        self.sampler = sampler
        self.lengths = rows.lengths

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: np.ndarray) -> object:
        return self.rows.gather(self.sampler.epoch, rows)


class LongRangeDataModule(LabDataModule):
    """Generated rows of equal length; training rows are regenerated each epoch, others are fixed.

    A subclass sets the attributes before it calls this constructor.

    Args:
        batch_size: Rows per batch of one process.

    Attributes:
        bytes_per_step: Memory of a step of a row, of which the class generates all at once.
        sizes: Rows of each split; for the training split, rows per epoch.
        steps: Steps of each row.
        data_seed: Seed of the generated rows.
    """

    bytes_per_step: ClassVar[int]
    sizes: dict[str, int]
    steps: int
    data_seed: int

    def __init__(self, batch_size: int = 64) -> None:
        super().__init__(batch_size)
        check_split_sizes(self.sizes, self.steps * self.bytes_per_step)
        if self.data_seed < 0:
            raise UserError(f"data_seed must be at least 0, got {self.data_seed}")

    @property
    @abstractmethod
    def baseline(self) -> float:
        """Loss of the best predictor without memory."""

    @abstractmethod
    def generate(self, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Generate inputs and targets of a number of rows."""

    def split(self, name: str) -> GeneratedDataset:
        """Open a split, `train`, `valid` or `test`; the training split starts with epoch 0."""
        return self._splits[name]

    @cached_property
    def _splits(self) -> dict[str, GeneratedDataset]:
        return dict(self._make_splits())

    def _make_splits(self) -> Iterator[tuple[str, GeneratedDataset]]:
        for number, name in enumerate(SPLITS):
            seed = self.data_seed, number
            rows = GeneratedDataset(
                self.sizes[name], self.steps, self.batch_type, self.generate, *seed
            )
            yield name, rows

    def _make_loader(self, name: str, shuffle: bool) -> ResumableLoader:
        sampler = self._make_sampler(name, shuffle)
        rows = self.split(name)
        return ResumableLoader(RegeneratedEachEpoch(rows, sampler) if shuffle else rows, sampler)


def check_split_sizes(sizes: Mapping[str, int], bytes_per_row: int) -> None:
    """Check the numbers of rows of generated splits before they take memory.

    The numbers may be those of a checkpoint that is not trusted.

    Args:
        sizes: Rows of each split by name.
        bytes_per_row: Approximate memory of a row.

    Raises:
        UserError: If a split is empty, or takes more than `MAX_BYTES`.
    """
    for name, size in sizes.items():
        check_generated_size(f"{name}_size", size, bytes_per_row)


def check_generated_size(name: str, size: int, bytes_per_row: int) -> None:
    """Check a number of generated rows, see `check_split_sizes`."""
    if size < 1:
        raise UserError(f"{name} must be at least 1, got {size}")
    if size * bytes_per_row > MAX_BYTES:
        raise UserError(
            f"{name} must be at most {MAX_BYTES // bytes_per_row:,}, got {size:,}: generated data "
            f"may take {MAX_BYTES:,} bytes, and a row takes about {bytes_per_row:,}"
        )


def check_generation_args(count: int, split: str) -> None:
    """Check the number of examples to generate and the name of their split.

    Raises:
        UserError: If the count is negative, or the split is unknown.
    """
    if split not in SPLITS:
        raise UserError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if count < 0:
        raise UserError(f"count must be at least 0, got {count}")
