"""Series and their labels: the rows of a split, how values are scaled, the generated task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch

from rnn_lab.batches import SeriesBatch
from rnn_lab.data import synthetic
from rnn_lab.data.module import LabDataModule
from rnn_lab.errors import UserError


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

    def __getitem__(self, rows: np.ndarray) -> SeriesBatch:
        """Gather rows into one padded batch."""
        lengths = self.lengths[rows]
        steps = np.arange(lengths.max())
        place = self._starts[rows][:, None] + np.minimum(steps, lengths[:, None] - 1)
        values = self.values[place]
        values[steps >= lengths[:, None]] = 0
        return SeriesBatch(
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
            f"dimension {i + 1} is constant in training: centred, not scaled"
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


class SyntheticChirps(LabDataModule):
    """Generated waves, labelled by how their pitch moves: only the order of steps tells.

    Args:
        train_size: Series to train on.
        valid_size: Series to validate on.
        test_size: Series to test on.
        input_dim: Features of a step.
        data_seed: Another seed draws other series.
        batch_size: Series in a batch of one process.
    """

    gives = SeriesBatch
    labels: ClassVar[Mapping[str, str]] = {name: name for name in synthetic.CHIRP_LABELS}

    def __init__(
        self,
        train_size: int = 2000,
        valid_size: int = 500,
        test_size: int = 500,
        input_dim: int = 2,
        data_seed: int = 0,
        *,
        batch_size: int = 32,
    ) -> None:
        super().__init__(batch_size)
        self.sizes = {"train": train_size, "valid": valid_size, "test": test_size}
        for name, size in {**self.sizes, "input": input_dim}.items():
            if size < 1:
                raise UserError(f"the {name} size must be at least 1, got {size}")
        self.input_dim = input_dim
        self.data_seed = data_seed

    @property
    def label_names(self) -> list[str]:
        """How the pitch moves."""
        return list(synthetic.CHIRP_LABELS)

    @property
    def class_counts(self) -> list[int]:
        """Training series of each label."""
        return self.split("train").class_counts(self.num_classes)

    def split(self, name: str) -> SeriesSplit:
        """Draw a split, `train`, `valid` or `test`."""
        return self._splits[name]

    @cached_property
    def _splits(self) -> dict[str, SeriesSplit]:
        return {name: self._draw(name) for name in self.sizes}

    def _draw(self, name: str) -> SeriesSplit:
        drawn = synthetic.chirps(self.sizes[name], self.data_seed, name, self.input_dim)
        series, labels = zip(*drawn, strict=True)
        return SeriesSplit(series, [self.label_names.index(label) for label in labels])

    def recipe(self) -> dict[str, Any]:
        """Say how to build this module elsewhere, as plain values."""
        return {**super().recipe(), "input_dim": self.input_dim}
