"""Copy memory: generated symbols, to be reproduced after a delay."""

from math import log
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from rnn_lab.core.generated import SPLITS, LongRangeDataModule
from rnn_lab.errors import UserError
from rnn_lab.special_tokens import PAD_ID
from rnn_lab.tasks.tagging.batch import TaggingBatch

BLANK = PAD_ID + 1  # what is read while there is nothing to say
DELIMITER = PAD_ID + 2  # asks for the symbols
SYMBOL = PAD_ID + 3  # the first of them


class CopyMemory(LongRangeDataModule):
    """Generated symbols, to be said again in their order after a long blank.

    A row is `copied` symbols, blanks, a delimiter that ends the delay, and as many blanks again,
    during which the symbols are to be said; before, the answer is blank. Who remembers nothing
    has a loss of `copied * log(symbols) / (delay + 2 * copied)` nats a step. Training rows are
    drawn anew in each epoch.

    Source: Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735, as
    Arjovsky et al. (2016), https://arxiv.org/abs/1511.06464, section 5.1, have it.

    Args:
        delay: Steps between the last symbol and the first that is said, the delimiter among them.
        symbols: Different symbols.
        copied: Symbols of each row.
        train_size: Rows of a training epoch.
        valid_size: Rows to validate on, the same in every epoch.
        test_size: Rows to test on.
        data_seed: Another seed draws other rows.
        batch_size: Rows in a batch of one process.

    Raises:
        UserError: If there is no delay, nothing to copy, nothing to tell apart, or a split has no
            row.
    """

    batch_type = TaggingBatch
    linked = ("vocab_size", "num_classes")
    blank: ClassVar[int] = 0  # the label of steps at which nothing is to be said

    def __init__(
        self,
        delay: int = 100,
        symbols: int = 8,
        copied: int = 10,
        train_size: int = 3200,
        valid_size: int = 500,
        test_size: int = 1000,
        data_seed: int = 0,
        *,
        batch_size: int = 32,
    ) -> None:
        for name, value, least in (
            ("delay", delay, 1),
            ("symbols", symbols, 2),
            ("copied", copied, 1),
        ):
            if value < least:
                raise UserError(f"{name} must be at least {least}, got {value}")
        sizes = dict(zip(SPLITS, (train_size, valid_size, test_size), strict=True))
        super().__init__(sizes, delay + 2 * copied, data_seed, batch_size)
        self.delay = delay
        self.symbols = symbols
        self.copied = copied

    @property
    def vocab_size(self) -> int:
        """Padding, blank, delimiter and the symbols."""
        return SYMBOL + self.symbols

    @property
    def label_names(self) -> list[str]:
        """Blank, and the symbols by their numbers."""
        return ["blank", *map(str, range(1, self.symbols + 1))]

    @property
    def baseline(self) -> float:
        """Loss, in nats a step, of blanks at the right steps and symbols at random."""
        return self.copied * log(self.symbols) / self.steps

    def generate(self, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Draw ids that are read and labels that are to be said, `(count, time)` each."""
        drawn = torch.from_numpy(rng.integers(self.symbols, size=(count, self.copied)))
        tokens = torch.full((count, self.steps), BLANK)
        tokens[:, : self.copied] = SYMBOL + drawn
        tokens[:, self.copied + self.delay - 1] = DELIMITER
        labels = torch.full((count, self.steps), self.blank)
        labels[:, -self.copied :] = 1 + drawn
        return tokens, labels
