"""The batch of language modeling."""

from typing import NamedTuple, Self

import torch
from torch import Tensor


class LMBatch(NamedTuple):
    """The next steps of texts that go on from batch to batch, one text a row.

    Attributes:
        tokens: Word ids, `(batch, time)` int64.
        targets: The word after each, `(batch, time)` int64; `IGNORED` where a row's text is over.
        fresh: Whether the rows begin here: what was read before has nothing to do with them.
        weight: Steps over the usual number, where the number varies; the learning rate of the
            batch is to be multiplied by it.
    """

    tokens: Tensor
    targets: Tensor
    fresh: bool
    weight: float = 1.0

    def to(self, device: torch.device, non_blocking: bool = False) -> Self:
        """Move the words to the device."""
        return self._replace(
            tokens=self.tokens.to(device, non_blocking=non_blocking),
            targets=self.targets.to(device, non_blocking=non_blocking),
        )
