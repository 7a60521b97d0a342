"""The adding problem."""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from rnn_lab.core.generated import SPLITS, LongRangeDataModule
from rnn_lab.errors import UserError
from rnn_lab.tasks.regression.batch import RegressionBatch


class AddingProblem(LongRangeDataModule):
    """Adding problem: predict the sum of two marked numbers of a long sequence; generated.

    Each step has a number, uniform between 0 and 1, and a marker; one step of each half is marked.
    Predicting 1 always has a mean squared error of 1/6, about 0.167. Training rows are regenerated
    each epoch, so they cannot be memorized.

    Source: Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735, section
    5.4, in the form of Le et al. (2015), https://arxiv.org/abs/1504.00941, section 4.1.

    Args:
        length: Steps of each row.
        train_size: Rows per training epoch.
        valid_size: Rows of the validation split, the same in every epoch.
        test_size: Rows of the test split.
        data_seed: Seed of the generated rows.
        batch_size: Rows per batch of one process.

    Raises:
        UserError: If rows have fewer than two steps, or the size of a split is below one.
    """

    batch_type = RegressionBatch
    linked = ("input_dim", "output_dim")
    input_dim: ClassVar[int] = 2
    output_dim: ClassVar[int] = 1
    bytes_per_step = 12  # two inputs, and a number before it is copied

    def __init__(
        self,
        length: int = 200,
        train_size: int = 3200,
        valid_size: int = 500,
        test_size: int = 1000,
        data_seed: int = 0,
        *,
        batch_size: int = 32,
    ) -> None:
        if length < 2:
            raise UserError(f"length must be at least 2, got {length}")
        self.sizes = dict(zip(SPLITS, (train_size, valid_size, test_size), strict=True))
        self.steps, self.data_seed = length, data_seed
        super().__init__(batch_size)

    @property
    def baseline(self) -> float:
        """Mean squared error of predicting 1 always: twice the variance of a number."""
        return 2 / 12

    def generate(self, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Generate numbers with markers `(count, length, 2)`, and sums `(count, 1)`."""
        half, rows = self.steps // 2, np.arange(count)
        inputs = np.zeros((count, self.steps, 2), np.float32)
        inputs[:, :, 0] = rng.random((count, self.steps), np.float32)
        first, second = rng.integers(half, size=count), rng.integers(half, self.steps, count)
        inputs[rows, first, 1] = inputs[rows, second, 1] = 1
        sums = inputs[rows, first, 0] + inputs[rows, second, 0]
        return torch.from_numpy(inputs), torch.from_numpy(sums[:, None])
