"""Batches of like lengths: planned from (seed, epoch) alone, sharded over processes, resumable."""

import math
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

POOL = 50  # batches in a pool: sorted by length inside it, so that little is padded


class LengthBuckets(Sampler[np.ndarray]):
    """Plans an epoch as batches of rows of like lengths.

    In training the order is drawn anew each epoch: rows are shuffled, each pool of 50 batches is
    sorted by length, cut into batches, and the batches are shuffled. Every process gets the same
    number of batches and every row is read once. In evaluation batches go from the longest rows
    to the shortest and are dealt to the processes in turn, without repeats; they are smaller where
    a process would get none.

    Args:
        lengths: Steps of each row, `(rows,)`.
        batch_size: Rows in a batch of one process.
        shuffle: Whether to draw the order (training).
        seed: What the order depends on, together with the epoch.
        rank: Number of this process.
        world: Number of processes.

    Raises:
        ValueError: If there are fewer rows to train on than processes.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if shuffle and len(lengths) < world:
            raise ValueError(f"{len(lengths)} rows cannot train {world} processes")
        self.lengths = lengths
        self.batch_size = batch_size if shuffle else min(batch_size, max(1, len(lengths) // world))
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.world = world
        self.epoch = 0
        self.start = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch to plan; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        if not self.shuffle:
            batches = math.ceil(len(self.lengths) / self.batch_size)
            return len(range(self.rank, batches, self.world))
        return len(self._cuts())

    def __iter__(self) -> Iterator[np.ndarray]:
        start, self.start = self.start, 0
        yield from self.plan(self.epoch)[start:]

    def plan(self, epoch: int = 0) -> list[np.ndarray]:
        """Plan an epoch of this process.

        Returns:
            The rows of each batch in the order of training, `(batch,)` int64 each.
        """
        if not self.shuffle:
            order = np.argsort(-self.lengths, kind="stable")
            return [
                order[i * self.batch_size : (i + 1) * self.batch_size]
                for i in range(self.rank, math.ceil(len(order) / self.batch_size), self.world)
            ]
        rng = np.random.default_rng((self.seed, epoch))
        order = rng.permutation(len(self.lengths))
        pool = self.batch_size * self.world * POOL
        for i in range(0, len(order), pool):
            rows = order[i : i + pool]
            order[i : i + pool] = rows[np.argsort(-self.lengths[rows], kind="stable")]
        batches = np.split(order, self._cuts()[:-1])
        return [batches[i][self.rank :: self.world] for i in rng.permutation(len(batches))]

    def _cuts(self) -> list[int]:
        """Where batches end, all processes together; the last takes a rest that is too small."""
        rows, size = len(self.lengths), self.batch_size * self.world
        cuts = list(range(size, rows, size))
        if cuts and rows - cuts[-1] < self.world:
            cuts.pop()
        return [*cuts, rows]
