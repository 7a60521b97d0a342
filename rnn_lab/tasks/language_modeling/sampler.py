"""Sampler for truncated backpropagation through time: rows of a text, cut into segments."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

SPREAD = 5.0  # standard deviation of a variable length, in steps
HALF_PROBABILITY = 0.05  # probability that a variable length is about half of `bptt`


class Segment(NamedTuple):
    """The part of a text that one batch holds.

    Attributes:
        starts: Index of the first token of each row, `(batch,)`.
        ends: Index after the last token of each row that has a target, `(batch,)`.
        steps: Number of steps of the batch.
        reset_state: If True, it is the first of its epoch.
        lr_scale: Number of steps divided by `bptt` with a variable length; else 1.
    """

    starts: np.ndarray
    ends: np.ndarray
    steps: int
    reset_state: bool
    lr_scale: float


class BPTTSampler(Sampler[Segment]):
    """Cut a text into rows that are read in parallel, and the rows into segments.

    Every token but the first is a target exactly once. All epochs and all processes have the same
    number of batches.

    Args:
        num_tokens: Tokens of the text.
        num_rows: Rows over all processes; reduced to the number of targets if that is smaller.
        bptt: Maximum number of steps of a batch; with `variable_bptt` about the mean.
        variable_bptt: If True, sample the number of steps of each batch.
        seed: Seed of these samples, together with the epoch.
        rank: Index of this process.
        world_size: Number of processes.

    Raises:
        ValueError: If there are fewer targets than processes.
    """

    def __init__(
        self,
        num_tokens: int,
        num_rows: int,
        bptt: int,
        *,
        variable_bptt: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        num_rows = min(num_rows, num_tokens - 1)
        if num_rows < world_size:
            raise ValueError(
                f"a text of {num_tokens} tokens is too short for {world_size} processes"
            )
        bounds = (num_tokens - 1) * np.arange(num_rows + 1) // num_rows
        self.starts, self.ends = bounds[:-1][rank::world_size], bounds[1:][rank::world_size]
        self.row_length = math.ceil((num_tokens - 1) / num_rows)
        self.bptt, self.variable_bptt, self.seed = bptt, variable_bptt, seed
        self.epoch = 0
        self.start = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; called by Lightning."""
        self.epoch = epoch

    def __len__(self) -> int:
        if not self.variable_bptt:
            return math.ceil(self.row_length / self.bptt)
        return max(1, round(self.row_length / (self.bptt * (1 - HALF_PROBABILITY / 2))))

    def __iter__(self) -> Iterator[Segment]:
        start, self.start = self.start, 0
        yield from self.plan(self.epoch)[start:]

    def plan(self, epoch: int = 0) -> list[Segment]:
        """Return the segments of an epoch for this process."""
        ends = self._segment_ends(epoch)
        return [
            Segment(
                self.starts + begin,
                self.ends,
                end - begin,
                reset_state=begin == 0,
                lr_scale=(end - begin) / self.bptt if self.variable_bptt else 1.0,
            )
            for begin, end in zip([0, *ends[:-1]], ends, strict=True)
        ]

    def _segment_ends(self, epoch: int) -> list[int]:
        """Return where segments end in a row; sampled lengths are rescaled to fill the row."""
        count = len(self)
        if not self.variable_bptt:
            return [self.row_length * i // count for i in range(1, count + 1)]
        rng = np.random.default_rng((self.seed, epoch))
        means = np.where(rng.random(count) < HALF_PROBABILITY, self.bptt / 2, self.bptt)
        ends = np.maximum(rng.normal(means, SPREAD), SPREAD).cumsum()
        return (ends * (self.row_length / ends[-1])).round().astype(int).tolist()
