"""The order in which a long text is read: rows side by side, cut into steps."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

SPREAD = 5.0  # standard deviation of the steps of a batch, where they vary
HALVED = 0.05  # share of the batches that then have half the steps


class Span(NamedTuple):
    """What one batch takes of a stream.

    Attributes:
        starts: Where each row goes on, `(batch,)`.
        ends: Where the part of each row ends, `(batch,)`.
        steps: Steps of the batch.
        reset_state: If True, it is the first of its epoch.
        lr_scale: Steps divided by the usual number, where the number varies; else 1.
    """

    starts: np.ndarray
    ends: np.ndarray
    steps: int
    reset_state: bool
    lr_scale: float


class BPTTSampler(Sampler[Span]):
    """Cuts a stream into rows that are read side by side, and the rows into batches.

    Every word but the first is a target once, whatever the numbers. All epochs have as many
    batches, and all processes.

    Args:
        words: Words of the stream.
        rows: Rows of all processes together; fewer where there are fewer words to predict.
        bptt: Steps of a batch at the most; about, where they vary.
        variable_bptt: Whether the steps of a batch are drawn by the seed and the epoch.
        seed: What the draw depends on, together with the epoch.
        rank: Number of this process.
        world_size: Number of processes.

    Raises:
        ValueError: If there is no word to predict for one of the processes.
    """

    def __init__(
        self,
        words: int,
        rows: int,
        bptt: int,
        *,
        variable_bptt: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        rows = min(rows, words - 1)
        if rows < world_size:
            raise ValueError(f"a text of {words} words is too short for {world_size} processes")
        bounds = (words - 1) * np.arange(rows + 1) // rows
        self.starts, self.ends = bounds[:-1][rank::world_size], bounds[1:][rank::world_size]
        self.length = math.ceil((words - 1) / rows)
        self.bptt, self.variable_bptt, self.seed = bptt, variable_bptt, seed
        self.epoch = 0
        self.start = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch to plan; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        if not self.variable_bptt:
            return math.ceil(self.length / self.bptt)
        return max(1, round(self.length / (self.bptt * (1 - HALVED / 2))))

    def __iter__(self) -> Iterator[Span]:
        start, self.start = self.start, 0
        yield from self.plan(self.epoch)[start:]

    def plan(self, epoch: int = 0) -> list[Span]:
        """Plan an epoch of this process."""
        cuts = self._cuts(epoch)
        return [
            Span(
                self.starts + begin,
                self.ends,
                end - begin,
                reset_state=begin == 0,
                lr_scale=(end - begin) / self.bptt if self.variable_bptt else 1.0,
            )
            for begin, end in zip([0, *cuts[:-1]], cuts, strict=True)
        ]

    def _cuts(self, epoch: int) -> list[int]:
        """Where the batches end; what is drawn is stretched a little to fill the rows."""
        count = len(self)
        if not self.variable_bptt:
            return [self.length * i // count for i in range(1, count + 1)]
        rng = np.random.default_rng((self.seed, epoch))
        usual = np.where(rng.random(count) < HALVED, self.bptt / 2, self.bptt)
        ends = np.maximum(rng.normal(usual, SPREAD), SPREAD).cumsum()
        return (ends * (self.length / ends[-1])).round().astype(int).tolist()
