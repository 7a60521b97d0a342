"""Windows of series: strided views of one flat array, a batch by one gather."""

import copy
import math
from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.panel.panel import Panel
from rnn_lab.tasks.forecasting.panel.scaling import Scaler

__all__ = ["Bounds", "FlatValues", "Scaler", "WindowBatchSampler", "Windows"]
ROUNDS = 6  # of the permutation: with fewer, neighbors stay together
AT_ONCE = 64  # batches whose order is drawn together: for one of them the calls take longest
FREE_PART = 4  # of a device's free memory, that the values may take


class Bounds(NamedTuple):
    """Which windows of each series a split has.

    Attributes:
        firsts: Row of each series at which the first target of its first window lies.
        counts: Windows of each series, `(series,)`.
    """

    firsts: np.ndarray
    counts: np.ndarray

    @classmethod
    def within(
        cls,
        targets: np.ndarray,
        input_length: int,
        horizon: int,
        stride: int = 1,
        *,
        inside: bool = False,
    ) -> "Bounds":
        """Find the windows whose targets lie among some rows.

        Args:
            targets: First row and end of the targets in each series, `(series, 2)`.
            input_length: Steps seen before the first target.
            horizon: Steps that are forecast.
            stride: Rows from window to window.
            inside: Whether the steps seen must lie among these rows, too (training).
        """
        begin, end = targets.T
        first = begin + input_length if inside else np.maximum(begin, input_length)
        return cls(first, np.maximum((end - horizon - first) // stride + 1, 0))


class FlatValues:
    """The values of a panel: scaled in memory or, where they are many, as they lie mapped.

    Args:
        panel: The series.
        scaler: What divides them.
    """

    def __init__(self, panel: Panel, scaler: Scaler) -> None:
        self.scaled = not isinstance(panel.buffer, np.memmap)
        self.tensor = torch.from_numpy(scaler.apply(panel) if self.scaled else panel.buffer)
        self._moved: dict[torch.device, Tensor] = {}

    def on(self, device: torch.device) -> Tensor | None:
        """Put the values on a device, once; None if that took over a quarter of its free memory."""
        if device not in self._moved:
            free, _ = torch.cuda.mem_get_info(device)
            if self.tensor.nbytes * FREE_PART > free:
                return None
            self._moved[device] = self.tensor.to(device)
        return self._moved[device]


class Windows:
    """The windows of one split.

    Args:
        panel: The series.
        scaler: What divides their values.
        bounds: Which windows there are.
        input_length: Steps that are seen.
        horizon: Steps that are forecast.
        stride: Rows from window to window.
        values: The values of the panel, where another split has them already.
    """

    def __init__(
        self,
        panel: Panel,
        scaler: Scaler,
        bounds: Bounds,
        input_length: int,
        horizon: int,
        stride: int = 1,
        values: FlatValues | None = None,
    ) -> None:
        self.panel = panel
        self.scaler = scaler
        self.bounds = bounds
        self.input_length = input_length
        self.horizon = horizon
        self.stride = stride
        self.flat = values or FlatValues(panel, scaler)
        self._hold(self.flat.tensor)
        self._ends = np.cumsum(bounds.counts)
        # Where window 0 of a series would begin if the windows before it were of this series, too.
        before = (self._ends - bounds.counts) * stride
        self._begins = panel.offsets[:-1] + bounds.firsts - input_length - before
        self._several = len(panel.ids) > 1
        static = (panel.static - scaler.static_location) / scaler.static_scale
        of_series = (static, panel.categories, scaler.location, scaler.scale, scaler.naive)
        self._of_series = self._same = [torch.from_numpy(values) for values in of_series]
        self._of_features = torch.from_numpy(
            np.stack([scaler.feature_location, scaler.feature_scale])
        )

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def lengths(self) -> np.ndarray:
        """Steps that each window sees, `(windows,)` int64."""
        return np.broadcast_to(np.int64(self.input_length), len(self))

    @property
    def notices(self) -> list[str]:
        """What was noticed when the series were read."""
        return self.panel.notices

    def __getitem__(self, rows: np.ndarray) -> WindowBatch:
        """Gather windows into one batch."""
        series = self._series(rows)
        starts = torch.from_numpy(self._begins[series] + rows * self.stride)
        window = self._view.index_select(0, starts.to(self.values.device))
        static, categories, location, scale, naive = self._looked_up(series)
        past, channels, known = self.input_length, len(self.panel.targets), len(self.panel.known)
        if not self.flat.scaled:
            window = self._apply(window, location, scale)
        return WindowBatch(
            window[:, :past, :channels],
            window[:, past:, :channels],
            window[:, :past, channels:],
            window[:, past:, channels : channels + known],
            static,
            categories,
            location,
            scale,
            naive,
            torch.from_numpy(rows),
        )

    def _series(self, rows: np.ndarray) -> np.ndarray:
        if not self._several:
            return np.zeros(len(rows), np.int64)
        return np.searchsorted(self._ends, rows, "right")

    def _looked_up(self, series: np.ndarray) -> list[Tensor]:
        """What is said of the series of each window, `(windows, ...)` each."""
        if not self._several:  # the same for all: nothing to copy
            same = self._same
            if len(same[0]) != len(series):
                same = self._same = [values.expand(len(series), -1) for values in self._of_series]
            return same
        number = torch.from_numpy(series).to(self.values.device)
        return [values.index_select(0, number) for values in self._of_series]

    def _hold(self, values: Tensor) -> None:
        """Take the values, and a view of all windows there could be, `(rows, time, columns)`."""
        rows, columns = values.shape
        time = self.input_length + self.horizon
        shape = (max(rows - time + 1, 0), time, columns)
        self.values, self._view = values, values.as_strided(shape, (columns, columns, 1))

    def _apply(self, window: Tensor, location: Tensor, scale: Tensor) -> Tensor:
        channels = location.shape[1]
        targets = (window[..., :channels] - location[:, None]) / scale[:, None]
        features = (window[..., channels:] - self._of_features[0]) / self._of_features[1]
        return torch.cat([targets, features], -1)

    def origin(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Say of some windows the series, and its row at which the first target lies."""
        series = self._series(rows)
        first = self._begins[series] + rows * self.stride + self.input_length
        return series, first - self.panel.offsets[series]

    def times(self, row: int) -> np.ndarray:
        """Say when the steps are that a window forecasts, `(horizon,)`."""
        series, first = self.origin(np.array([row]))
        return self.panel.times(int(series[0]), int(first[0]), self.horizon)

    def to(self, device: torch.device) -> Self:
        """Move the values to a device if they take less than a quarter of its free memory."""
        values = self.flat.on(device) if device.type == "cuda" else None
        if values is None:
            return self
        moved = copy.copy(self)
        moved._hold(values)
        moved._of_series = moved._same = [values.to(device) for values in self._of_series]
        moved._of_features = self._of_features.to(device)
        return moved


class WindowBatchSampler(Sampler[np.ndarray]):
    """Plans an epoch as batches of windows, in memory that does not grow with their number.

    In training the order is drawn anew each epoch by arithmetic, every process gets the same
    number of batches and every window is read once. In evaluation windows come in their order, in
    batches that are dealt to the processes in turn, without repeats; they are smaller where a
    process would get none.

    Args:
        rows: How many windows there are.
        batch_size: Windows in a batch of one process.
        shuffle: Whether to draw the order (training).
        seed: What the order depends on, together with the epoch.
        rank: Number of this process.
        world_size: Number of processes.

    Raises:
        ValueError: If there are fewer windows to train on than processes.
    """

    def __init__(
        self,
        rows: int,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if shuffle and rows < world_size:
            raise ValueError(f"{rows} windows cannot train {world_size} processes")
        self.rows = rows
        self.batch_size = batch_size if shuffle else min(batch_size, max(1, rows // world_size))
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
        if self.shuffle:
            size = self.batch_size * self.world_size
            whole, rest = divmod(self.rows, size)
            return max(whole + (rest >= self.world_size), 1)  # a smaller rest joins the last batch
        return len(range(self.rank, math.ceil(self.rows / self.batch_size), self.world_size))

    def __iter__(self) -> Iterator[np.ndarray]:
        start, self.start = self.start, 0
        return self._batches(self.epoch, start)

    def plan(self, epoch: int = 0) -> list[np.ndarray]:
        """Plan an epoch of this process.

        Returns:
            The windows of each batch in order, `(batch,)` int64 each.
        """
        return list(self._batches(epoch, 0))

    def _batches(self, epoch: int, start: int) -> Iterator[np.ndarray]:
        if not self.shuffle:
            yield from map(self._in_turn, range(start, len(self)))
            return
        order = Permutation(self.rows, (self.seed, epoch))
        for first in range(start, len(self), AT_ONCE):
            count = min(AT_ONCE, len(self) - first)
            drawn = order(self._places(first, first + count))
            for begin in range(0, (count - 1) * self.batch_size, self.batch_size):
                yield drawn[begin : begin + self.batch_size]
            yield drawn[(count - 1) * self.batch_size :]

    def _places(self, first: int, end: int) -> np.ndarray:
        """The places in the order of the epoch that this process has in some training batches."""
        size = self.batch_size * self.world_size
        last = self.rows if end == len(self) else end * size
        return np.arange(first * size + self.rank, last, self.world_size)

    def _in_turn(self, number: int) -> np.ndarray:
        first = (number * self.world_size + self.rank) * self.batch_size
        return np.arange(first, min(first + self.batch_size, self.rows))


class Permutation:
    """Puts numbers below some size into a random order, each by arithmetic from its place.

    A Feistel network over pairs of digits (Black & Rogaway 2002,
    https://doi.org/10.1007/3-540-45760-7_9, also for what is done with numbers that are too big).

    Args:
        size: How many numbers there are.
        seed: What the order depends on.
    """

    def __init__(self, size: int, seed: tuple[int, ...]) -> None:
        self.size = size
        self.base = max(math.isqrt(size - 1) + 1, 1)  # of the digits: two of them reach the size
        rng = np.random.default_rng(seed)
        self.keys = rng.integers(0, 2**64, ROUNDS, np.uint64)

    def __call__(self, places: np.ndarray) -> np.ndarray:
        """Say which numbers stand at some places, int64."""
        numbers = self._mixed(places)
        while len(far := np.flatnonzero(numbers >= self.size)):
            numbers[far] = self._mixed(numbers[far])
        return numbers

    def _mixed(self, numbers: np.ndarray) -> np.ndarray:
        left, right = np.divmod(numbers.astype(np.uint64), np.uint64(self.base))
        for key in self.keys:
            left, right = right, (left + _scrambled(right ^ key)) % np.uint64(self.base)
        return (left * np.uint64(self.base) + right).astype(np.int64)


def _scrambled(numbers: np.ndarray) -> np.ndarray:
    """Let every bit depend on all; half the bits stay, so that a base can be added."""
    numbers = (numbers ^ (numbers >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    numbers = (numbers ^ (numbers >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return numbers >> np.uint64(32)
