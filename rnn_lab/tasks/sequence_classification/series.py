"""Labeled series: the rows of a split, and how values are scaled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rnn_lab.errors import UserError
from rnn_lab.tasks.sequence_classification.batch import SequenceBatch


class SeriesSplit:
    """The series of one split, end to end in one array.

    Args:
        series: Values of each series, `(time, input_dim)`.
        labels: Class id of each series.
    """

    def __init__(self, series: Sequence[np.ndarray], labels: Sequence[int]) -> None:
        self.values = np.concatenate(series).astype(np.float32)
        self.lengths = np.array([len(one) for one in series])
        self.labels = np.array(labels, dtype=np.int64)
        self._starts = np.cumsum(self.lengths) - self.lengths

    def __len__(self) -> int:
        return len(self.labels)

    def class_counts(self, num_classes: int) -> list[int]:
        """How many series have each label."""
        return np.bincount(self.labels, minlength=num_classes).tolist()

    def __getitem__(self, rows: np.ndarray) -> SequenceBatch:
        """Gather rows into one padded batch."""
        lengths = self.lengths[rows]
        steps = np.arange(lengths.max())
        place = self._starts[rows][:, None] + np.minimum(steps, lengths[:, None] - 1)
        values = self.values[place]
        values[steps >= lengths[:, None]] = 0
        return SequenceBatch(
            torch.from_numpy(values),
            torch.from_numpy(self.labels[rows]),
            torch.from_numpy(lengths),
        )


@dataclass
class SeriesScaler:
    """Brings each feature to zero mean and unit deviation; a missing value becomes the mean, zero.

    Attributes:
        mean: Mean of each feature, `(input_dim,)` float64.
        deviation: Deviation of each feature, `(input_dim,)` float64, 1 where it is constant.
    """

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def fit(cls, series: Sequence[np.ndarray]) -> tuple["SeriesScaler", list[str]]:
        """Learn from the observed values of some series, `(time, input_dim)` each.

        Returns:
            The scaler, and what was noticed.

        Raises:
            UserError: If a feature has no value at all.
        """
        values = np.concatenate(series)
        unseen = np.flatnonzero(np.isnan(values).all(0))
        if len(unseen):
            raise UserError(f"dimension {unseen[0] + 1} has no value in training: leave it out")
        constant = np.nanmin(values, 0) == np.nanmax(values, 0)
        deviation = np.where(constant, 1.0, np.nanstd(values, 0))
        notices = [
            f"dimension {i + 1} is constant in training: centered, not scaled"
            for i in np.flatnonzero(constant)
        ]
        return cls(np.nanmean(values, 0), deviation), notices

    @classmethod
    def identity(cls, input_dim: int) -> "SeriesScaler":
        """Leave values as they are."""
        return cls(np.zeros(input_dim), np.ones(input_dim))

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Scale `(time, input_dim)` into new memory, float32."""
        return np.nan_to_num((values - self.mean) / self.deviation, nan=0.0).astype(np.float32)

    def state_dict(self) -> dict[str, list[float]]:
        """The scaler as plain values."""
        return {"mean": self.mean.tolist(), "deviation": self.deviation.tolist()}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, list[float]]) -> "SeriesScaler":
        """Take up what `state_dict` gave."""
        return cls(np.array(state["mean"], np.float64), np.array(state["deviation"], np.float64))
