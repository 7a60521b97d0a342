"""Batches of like lengths: planned from (seed, epoch) alone, sharded over processes, resumable."""

import math
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

POOL = 50  # batches in a pool: sorted by length inside it, so that little is padded


class BucketBatchSampler(Sampler[np.ndarray]):
    """Plans an epoch as batches of rows of like lengths.

    In training the order is drawn anew each epoch: rows are shuffled, each pool of 50 batches (of
    rows with two sides: 200) is
    sorted by length, cut into batches, and the batches are shuffled. Every process gets the same
    number of batches and every row is read once. In evaluation batches go from the longest rows
    to the shortest and are dealt to the processes in turn, without repeats; they are smaller where
    a process would get none.

    Args:
        lengths: Steps of each row, `(rows,)`, or of each side of a row, `(rows, sides)`; the last
            side sorts first.
        batch_size: Rows in a batch of one process.
        batch_tokens: Steps of the last side in a training batch of one process, about; takes the
            place of `batch_size` there. No batch has less than a row for each process.
        shuffle: Whether to draw the order (training).
        seed: What the order depends on, together with the epoch.
        rank: Number of this process.
        world_size: Number of processes.

    Raises:
        ValueError: If there are fewer rows to train on than processes.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        batch_size: int,
        *,
        batch_tokens: int | None = None,
        shuffle: bool,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        for name, value in (("batch_size", batch_size), ("batch_tokens", batch_tokens)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if shuffle and len(lengths) < world_size:
            raise ValueError(f"{len(lengths)} rows cannot train {world_size} processes")
        self.lengths = lengths[:, None] if lengths.ndim == 1 else lengths
        self.pool = POOL * self.lengths.shape[1] ** 2  # two lengths agree more rarely than one
        self.batch_size = (
            batch_size if shuffle else min(batch_size, max(1, len(lengths) // world_size))
        )
        self.batch_tokens = batch_tokens
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.start = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch to plan; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        if not self.shuffle:
            batches = math.ceil(len(self.lengths) / self.batch_size)
            return len(range(self.rank, batches, self.world_size))
        return len(self._cuts()) if self.batch_tokens is None else self._token_batches()

    def __iter__(self) -> Iterator[np.ndarray]:
        start, self.start = self.start, 0
        yield from self.plan(self.epoch)[start:]

    def plan(self, epoch: int = 0) -> list[np.ndarray]:
        """Plan an epoch of this process.

        Returns:
            The rows of each batch in the order of training, `(batch,)` int64 each.
        """
        if not self.shuffle:
            order = self._longest_first(np.arange(len(self.lengths)))
            return [
                order[i * self.batch_size : (i + 1) * self.batch_size]
                for i in range(self.rank, math.ceil(len(order) / self.batch_size), self.world_size)
            ]
        rng = np.random.default_rng((self.seed, epoch))
        order = rng.permutation(len(self.lengths))
        batches = self._by_size(order) if self.batch_tokens is None else self._by_tokens(order)
        return [batches[i][self.rank :: self.world_size] for i in rng.permutation(len(batches))]

    def _longest_first(self, rows: np.ndarray) -> np.ndarray:
        first, last = self.lengths[rows, 0], self.lengths[rows, -1]
        # Where the last side goes on to the next length the first turns round, so that a batch
        # over both has like lengths there, too.
        return rows[np.lexsort((np.where(last % 2, first, -first), -last))]

    def _by_size(self, order: np.ndarray) -> list[np.ndarray]:
        pool = self.batch_size * self.world_size * self.pool
        for i in range(0, len(order), pool):
            order[i : i + pool] = self._longest_first(order[i : i + pool])
        return np.split(order, self._cuts()[:-1])

    def _cuts(self) -> list[int]:
        """Where batches end, all processes together; the last takes a rest that is too small."""
        rows, size = len(self.lengths), self.batch_size * self.world_size
        cuts = list(range(size, rows, size))
        if cuts and rows - cuts[-1] < self.world_size:
            cuts.pop()
        return [*cuts, rows]

    def _token_batches(self) -> int:
        """How many batches there are, whatever the order: all tokens over the wish."""
        wish = (self.batch_tokens or 1) * self.world_size
        batches = math.ceil(int(self.lengths[:, -1].sum()) / wish)
        return min(batches, len(self.lengths) // self.world_size)

    def _by_tokens(self, order: np.ndarray) -> list[np.ndarray]:
        """Cut pools of a fixed number of rows into a fixed number of batches each."""
        batches = self._token_batches()
        pools = math.ceil(batches / self.pool)
        ends = np.arange(pools + 1) * batches // pools  # batches before each pool
        rows = ends * len(order) // batches
        return [
            batch
            for i in range(pools)
            for batch in self._evenly(order[rows[i] : rows[i + 1]], int(ends[i + 1] - ends[i]))
        ]

    def _evenly(self, pool: np.ndarray, batches: int) -> list[np.ndarray]:
        """Cut a pool into batches of nearly equal tokens, each with a row for every process."""
        pool = self._longest_first(pool)
        tokens = np.cumsum(self.lengths[pool, -1])
        numbers = np.arange(1, batches)
        cuts = np.searchsorted(tokens, tokens[-1] * numbers / batches) + 1
        least = self.world_size * numbers
        cuts = np.maximum.accumulate(np.maximum(cuts - least, 0)) + least
        return np.split(pool, np.minimum(cuts, len(pool) - least[::-1]))
