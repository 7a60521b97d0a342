"""The copy-memory task."""

from math import log
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from rnn_lab.core.generated import SPLITS, LongRangeDataModule
from rnn_lab.errors import UserError
from rnn_lab.special_tokens import PAD_ID
from rnn_lab.tasks.tagging.batch import TaggingBatch

BLANK = PAD_ID + 1  # input of the steps without a symbol
DELIMITER = PAD_ID + 2  # ends the delay
FIRST_SYMBOL = PAD_ID + 3


class CopyMemory(LongRangeDataModule):
    """Copy-memory task: reproduce symbols after a delay; generated.

    A row is `copy_length` symbols, blanks, a delimiter that ends the delay, and `copy_length` more
    blanks, during which the labels are the symbols; before, the label is blank. The best predictor
    without memory has a loss of `copy_length * log(num_symbols) / (delay + 2 * copy_length)` nats
    per step. Training rows are regenerated each epoch.

    Source: Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735, in the
    form of Arjovsky et al. (2016), https://arxiv.org/abs/1511.06464, section 5.1.

    Args:
        delay: Steps from the last symbol to the first step at which one is reproduced, the
            delimiter included.
        num_symbols: Number of different symbols.
        copy_length: Number of symbols in each row.
        train_size: Rows per training epoch.
        valid_size: Rows of the validation split, the same in every epoch.
        test_size: Rows of the test split.
        data_seed: Seed of the generated rows.
        batch_size: Rows per batch of one process.

    Raises:
        UserError: If `delay`, `num_symbols`, `copy_length` or the size of a split is too small.
    """

    batch_type = TaggingBatch
    linked = ("vocab_size", "num_classes")
    blank: ClassVar[int] = 0  # label of the steps without a symbol
    bytes_per_step = 16  # token and label

    def __init__(
        self,
        delay: int = 100,
        num_symbols: int = 8,
        copy_length: int = 10,
        train_size: int = 3200,
        valid_size: int = 500,
        test_size: int = 1000,
        data_seed: int = 0,
        *,
        batch_size: int = 32,
    ) -> None:
        for name, value, minimum in (
            ("delay", delay, 1),
            ("num_symbols", num_symbols, 2),
            ("copy_length", copy_length, 1),
        ):
            if value < minimum:
                raise UserError(f"{name} must be at least {minimum}, got {value}")
        self.sizes = dict(zip(SPLITS, (train_size, valid_size, test_size), strict=True))
        self.steps, self.data_seed = delay + 2 * copy_length, data_seed
        super().__init__(batch_size)
        self.delay = delay
        self.num_symbols = num_symbols
        self.copy_length = copy_length

    @property
    def vocab_size(self) -> int:
        """Number of different tokens: padding, blank, delimiter and the symbols."""
        return FIRST_SYMBOL + self.num_symbols

    @property
    def label_names(self) -> list[str]:
        """Names of the classes: blank, and the symbols by their numbers."""
        return ["blank", *map(str, range(1, self.num_symbols + 1))]

    @property
    def baseline(self) -> float:
        """Loss, in nats per step, of blanks at the right steps and symbols at random."""
        return self.copy_length * log(self.num_symbols) / self.steps

    def generate(self, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Generate token ids and labels, `(count, time)` each."""
        symbols = torch.from_numpy(rng.integers(self.num_symbols, size=(count, self.copy_length)))
        tokens = torch.full((count, self.steps), BLANK)
        tokens[:, : self.copy_length] = FIRST_SYMBOL + symbols
        tokens[:, self.copy_length + self.delay - 1] = DELIMITER
        labels = torch.full((count, self.steps), self.blank)
        labels[:, -self.copy_length :] = 1 + symbols
        return tokens, labels
