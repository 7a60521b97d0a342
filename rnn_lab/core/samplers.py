"""Batches of similar lengths, determined by seed and epoch, sharded over processes, resumable."""

import math
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

POOL_SIZE = 50  # batches whose rows are sorted by length together, to reduce padding


class BucketBatchSampler(Sampler[np.ndarray]):
    """Sample batches of rows of similar lengths.

    In training every epoch has its own order: rows are shuffled, each pool of 50 batches (200 if
    rows have two sides) is sorted by length and split into batches, and the batches are shuffled.
    Every process gets the same number of batches, and every row is read once. In evaluation the
    batches are ordered from the longest rows to the shortest and assigned to the processes in
    turn, without repeats; batches are smaller if a process would get none.

    Args:
        lengths: Steps of each row, `(rows,)`, or of each side of a row, `(rows, sides)`; the last
            side is the primary sort key.
        batch_size: Rows per batch of one process.
        batch_tokens: Approximate number of steps of the last side per training batch of one
            process; replaces `batch_size` in training. Each batch has at least one row per process.
        shuffle: Whether to shuffle (training).
        seed: Seed of the order, together with the epoch.
        rank: Rank of this process.
        world_size: Number of processes.

    Raises:
        ValueError: If there are fewer training rows than processes, or a size is below 1.
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
            raise ValueError(f"{len(lengths)} rows cannot be sharded over {world_size} processes")
        self.lengths = lengths[:, None] if lengths.ndim == 1 else lengths
        self.pool_size = POOL_SIZE * self.lengths.shape[1] ** 2  # both sides must be similar
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
        """Set the epoch; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        if not self.shuffle:
            batches = math.ceil(len(self.lengths) / self.batch_size)
            return len(range(self.rank, batches, self.world_size))
        return len(self._batch_ends()) if self.batch_tokens is None else self._num_token_batches()

    def __iter__(self) -> Iterator[np.ndarray]:
        start, self.start = self.start, 0
        yield from self.plan(self.epoch)[start:]

    def plan(self, epoch: int = 0) -> list[np.ndarray]:
        """Return the batches of an epoch of this process.

        Returns:
            The row indices of each batch in their order, `(batch,)` int64 each.
        """
        if not self.shuffle:
            order = self._sort_descending(np.arange(len(self.lengths)))
            return [
                order[i * self.batch_size : (i + 1) * self.batch_size]
                for i in range(self.rank, math.ceil(len(order) / self.batch_size), self.world_size)
            ]
        rng = np.random.default_rng((self.seed, epoch))
        order = rng.permutation(len(self.lengths))
        batches = (
            self._split_by_rows(order)
            if self.batch_tokens is None
            else self._split_by_tokens(order)
        )
        return [batches[i][self.rank :: self.world_size] for i in rng.permutation(len(batches))]

    def _sort_descending(self, rows: np.ndarray) -> np.ndarray:
        first, last = self.lengths[rows, 0], self.lengths[rows, -1]
        # The sort order of the first side alternates with each length of the last side, so that a
        # batch across two lengths of the last side has similar lengths of the first side.
        return rows[np.lexsort((np.where(last % 2, first, -first), -last))]

    def _split_by_rows(self, order: np.ndarray) -> list[np.ndarray]:
        rows = self.batch_size * self.world_size * self.pool_size
        for i in range(0, len(order), rows):
            order[i : i + rows] = self._sort_descending(order[i : i + rows])
        return np.split(order, self._batch_ends()[:-1])

    def _batch_ends(self) -> list[int]:
        """Return the ends of the global batches; a remainder below `world_size` joins the last."""
        rows, size = len(self.lengths), self.batch_size * self.world_size
        ends = list(range(size, rows, size))
        if ends and rows - ends[-1] < self.world_size:
            ends.pop()
        return [*ends, rows]

    def _num_token_batches(self) -> int:
        """Return the number of batches, which does not depend on the order of the rows."""
        global_tokens = (self.batch_tokens or 1) * self.world_size
        batches = math.ceil(int(self.lengths[:, -1].sum()) / global_tokens)
        return min(batches, len(self.lengths) // self.world_size)

    def _split_by_tokens(self, order: np.ndarray) -> list[np.ndarray]:
        """Split pools with a fixed number of rows into a fixed number of batches each."""
        batches = self._num_token_batches()
        pools = math.ceil(batches / self.pool_size)
        ends = np.arange(pools + 1) * batches // pools  # batches before each pool
        rows = ends * len(order) // batches
        return [
            batch
            for i in range(pools)
            for batch in self._split_pool(order[rows[i] : rows[i + 1]], int(ends[i + 1] - ends[i]))
        ]

    def _split_pool(self, pool: np.ndarray, batches: int) -> list[np.ndarray]:
        """Split a pool into batches of nearly equal tokens, each with a row for every process."""
        pool = self._sort_descending(pool)
        tokens = np.cumsum(self.lengths[pool, -1])
        numbers = np.arange(1, batches)
        cuts = np.searchsorted(tokens, tokens[-1] * numbers / batches) + 1
        min_rows = self.world_size * numbers
        cuts = np.maximum.accumulate(np.maximum(cuts - min_rows, 0)) + min_rows
        return np.split(pool, np.minimum(cuts, len(pool) - min_rows[::-1]))
