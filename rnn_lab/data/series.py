"""Series and their labels: the data module, and the generated task."""

from collections.abc import Mapping, Sequence
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
        self.labels = np.array(labels)
        self._starts = np.cumsum(self.lengths) - self.lengths

    def __len__(self) -> int:
        return len(self.labels)

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
