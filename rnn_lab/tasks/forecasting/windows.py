"""Windows of time series: strided views of one flat array, gathered into batches."""

import copy
import math
from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.normalization import normalize
from rnn_lab.tasks.forecasting.panel.panel import Panel
from rnn_lab.tasks.forecasting.panel.scaling import Scaler

__all__ = ["Bounds", "FlatValues", "Scaler", "WindowBatchSampler", "Windows"]
ROUNDS = 6  # of the permutation: with fewer rounds neighbors stay together
CHUNK_SIZE = 64  # batches whose order is computed together, as the cost per call dominates
DEVICE_FRACTION = 4  # values are moved to a device if they need less than 1/4 of its free memory


class Bounds(NamedTuple):
    """The windows of each series in a split.

    Attributes:
        firsts: Row of the first target of the first window of each series, `(series,)`.
        counts: Number of windows of each series, `(series,)`.
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
        """Find the windows whose targets are within a range of rows.

        Args:
            targets: First row and end of the range in each series, `(series, 2)`.
            input_length: Input steps before the first target.
            horizon: Steps to forecast.
            stride: Rows from window to window.
            inside: Whether the input steps must be within the range, too (training).
        """
        begin, end = targets.T
        first = begin + input_length if inside else np.maximum(begin, input_length)
        return cls(first, np.maximum((end - horizon - first) // stride + 1, 0))


class FlatValues:
    """The values of a panel: scaled in memory, or unscaled if they are memory-mapped.

    Args:
        panel: The series.
        scaler: Their scaling statistics.
    """

    def __init__(self, panel: Panel, scaler: Scaler) -> None:
        self.scaled = not isinstance(panel.values, np.memmap)
        self.tensor = torch.from_numpy(scaler.transform(panel) if self.scaled else panel.values)
        self._moved: dict[torch.device, Tensor] = {}

    def on(self, device: torch.device) -> Tensor | None:
        """Copy the values to a device, once; None if they need over 1/4 of its free memory."""
        if device not in self._moved:
            free, _ = torch.cuda.mem_get_info(device)
            if self.tensor.nbytes * DEVICE_FRACTION > free:
                return None
            self._moved[device] = self.tensor.to(device)
        return self._moved[device]


class Windows:
    """The windows of one split.

    Args:
        panel: The series.
        scaler: Their scaling statistics.
        bounds: The windows of each series.
        input_length: Steps of the input window.
        horizon: Steps to forecast.
        stride: Rows from window to window.
        values: Values of the panel, to share them with another split.
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
        self._set_values(self.flat.tensor)
        self._ends = np.cumsum(bounds.counts)
        # Where window 0 would begin if all windows before those of a series were of that series.
        before = (self._ends - bounds.counts) * stride
        self._begins = panel.offsets[:-1] + bounds.firsts - input_length - before
        self._multiple = len(panel.ids) > 1
        static = (panel.static - scaler.static_location) / scaler.static_scale
        per_series = (
            static,
            panel.category_codes,
            scaler.location,
            scaler.scale,
            scaler.naive_mae,
        )
        self._per_series = self._expanded = [torch.from_numpy(values) for values in per_series]
        self._feature_statistics = torch.from_numpy(
            np.stack([scaler.feature_location, scaler.feature_scale])
        )

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def lengths(self) -> np.ndarray:
        """Input steps of each window, `(windows,)` int64."""
        return np.broadcast_to(np.int64(self.input_length), len(self))

    @property
    def notices(self) -> list[str]:
        """Messages about the series, to be logged."""
        return self.panel.notices

    def __getitem__(self, rows: np.ndarray) -> WindowBatch:
        """Gather windows into one batch."""
        series = self._series(rows)
        starts = torch.from_numpy(self._begins[series] + rows * self.stride)
        window = self._view.index_select(0, starts.to(self.values.device))
        static, codes, location, scale, naive_mae = self._of_series(series)
        past, channels = self.input_length, len(self.panel.targets)
        future_dim = len(self.panel.future_covariates)
        if not self.flat.scaled:
            window = self._scale(window, location, scale)
        return WindowBatch(
            window[:, :past, :channels],
            window[:, past:, :channels],
            window[:, :past, channels:],
            window[:, past:, channels : channels + future_dim],
            static,
            codes,
            location,
            scale,
            naive_mae,
            torch.from_numpy(rows),
        )

    def _series(self, rows: np.ndarray) -> np.ndarray:
        if not self._multiple:
            return np.zeros(len(rows), np.int64)
        return np.searchsorted(self._ends, rows, "right")

    def _of_series(self, series: np.ndarray) -> list[Tensor]:
        """Look up what is constant in the series of each window, `(windows, ...)` each."""
        if not self._multiple:  # views of the same row: nothing is copied
            expanded = self._expanded
            if len(expanded[0]) != len(series):
                expanded = [values.expand(len(series), -1) for values in self._per_series]
                self._expanded = expanded
            return expanded
        index = torch.from_numpy(series).to(self.values.device)
        return [values.index_select(0, index) for values in self._per_series]

    def _set_values(self, values: Tensor) -> None:
        """Set the values, and a view of the windows from every row, `(rows, time, columns)`."""
        rows, columns = values.shape
        time = self.input_length + self.horizon
        shape = (max(rows - time + 1, 0), time, columns)
        self.values, self._view = values, values.as_strided(shape, (columns, columns, 1))

    def _scale(self, window: Tensor, location: Tensor, scale: Tensor) -> Tensor:
        channels = location.shape[1]
        targets = normalize(window[..., :channels], location[:, None], scale[:, None])
        feature_location, feature_scale = self._feature_statistics
        features = (window[..., channels:] - feature_location) / feature_scale
        return torch.cat([targets, features], -1)

    def origin(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the series of windows, and the row of their first target in it."""
        series = self._series(rows)
        first = self._begins[series] + rows * self.stride + self.input_length
        return series, first - self.panel.offsets[series]

    def times(self, row: int) -> np.ndarray:
        """Return the timestamps of the steps to forecast of a window, `(horizon,)`."""
        series, first = self.origin(np.array([row]))
        return self.panel.times(int(series[0]), int(first[0]), self.horizon)

    def to(self, device: torch.device) -> Self:
        """Move the values to a device if they need less than 1/4 of its free memory."""
        values = self.flat.on(device) if device.type == "cuda" else None
        if values is None:
            return self
        moved = copy.copy(self)
        moved._set_values(values)
        moved._per_series = moved._expanded = [values.to(device) for values in self._per_series]
        moved._feature_statistics = self._feature_statistics.to(device)
        return moved


class WindowBatchSampler(Sampler[np.ndarray]):
    """Sample batches of windows, in memory that does not grow with their number.

    In training, the windows are shuffled arithmetically, differently in each epoch; every process
    gets the same number of batches and every window is read once. In evaluation, windows come in
    order, in batches that are dealt to the processes in turn, without repeats; batches are smaller
    if a process would get none.

    Args:
        rows: Number of windows.
        batch_size: Windows per batch and process.
        shuffle: Whether to shuffle (training).
        seed: Seed of the order, together with the epoch.
        rank: Rank of this process.
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
            raise ValueError(f"cannot train {world_size} processes on {rows} windows: use fewer")
        self.rows = rows
        self.batch_size = batch_size if shuffle else min(batch_size, max(1, rows // world_size))
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
        if self.shuffle:
            size = self.batch_size * self.world_size
            full, rest = divmod(self.rows, size)
            return max(full + (rest >= self.world_size), 1)  # a smaller rest joins the last batch
        return len(range(self.rank, math.ceil(self.rows / self.batch_size), self.world_size))

    def __iter__(self) -> Iterator[np.ndarray]:
        start, self.start = self.start, 0
        return self._batches(self.epoch, start)

    def plan(self, epoch: int = 0) -> list[np.ndarray]:
        """Return the batches of this process in an epoch.

        Returns:
            The windows of each batch in order, `(batch,)` int64 each.
        """
        return list(self._batches(epoch, 0))

    def _batches(self, epoch: int, start: int) -> Iterator[np.ndarray]:
        if not self.shuffle:
            yield from map(self._eval_batch, range(start, len(self)))
            return
        permutation = Permutation(self.rows, (self.seed, epoch))
        for first in range(start, len(self), CHUNK_SIZE):
            count = min(CHUNK_SIZE, len(self) - first)
            windows = permutation(self._positions(first, first + count))
            for begin in range(0, (count - 1) * self.batch_size, self.batch_size):
                yield windows[begin : begin + self.batch_size]
            yield windows[(count - 1) * self.batch_size :]

    def _positions(self, first: int, end: int) -> np.ndarray:
        """Return the positions in the shuffled order of this process's batches `first` to `end`."""
        size = self.batch_size * self.world_size
        last = self.rows if end == len(self) else end * size
        return np.arange(first * size + self.rank, last, self.world_size)

    def _eval_batch(self, number: int) -> np.ndarray:
        first = (number * self.world_size + self.rank) * self.batch_size
        return np.arange(first, min(first + self.batch_size, self.rows))


class Permutation:
    """Pseudorandom permutation of the numbers below a size, evaluated element by element.

    A Feistel network over pairs of digits with cycle walking, Black & Rogaway (2002),
    https://doi.org/10.1007/3-540-45760-7_9.

    Args:
        size: Number of elements.
        seed: Random seed.
    """

    def __init__(self, size: int, seed: tuple[int, ...]) -> None:
        self.size = size
        self.base = max(math.isqrt(size - 1) + 1, 1)  # two digits of this base reach the size
        rng = np.random.default_rng(seed)
        self.keys = rng.integers(0, 2**64, ROUNDS, np.uint64)

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """Return the numbers at some positions, int64."""
        numbers = self._feistel(positions)
        while len(outside := np.flatnonzero(numbers >= self.size)):
            numbers[outside] = self._feistel(numbers[outside])
        return numbers

    def _feistel(self, numbers: np.ndarray) -> np.ndarray:
        left, right = np.divmod(numbers.astype(np.uint64), np.uint64(self.base))
        for key in self.keys:
            left, right = right, (left + _hash32(right ^ key)) % np.uint64(self.base)
        return (left * np.uint64(self.base) + right).astype(np.int64)


def _hash32(numbers: np.ndarray) -> np.ndarray:
    """Hash to 32 bits, so that a digit can be added without overflow."""
    numbers = (numbers ^ (numbers >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    numbers = (numbers ^ (numbers >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return numbers >> np.uint64(32)
