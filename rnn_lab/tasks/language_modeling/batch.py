"""The batch of language modeling."""

from typing import NamedTuple, Self

import torch
from torch import Tensor


class LMBatch(NamedTuple):
    """A segment of consecutive tokens of each row of a text; the next batch continues the rows.

    Attributes:
        tokens: Token ids, `(batch, time)` int64.
        targets: The token after each, `(batch, time)` int64; `IGNORE_INDEX` after the end of a row.
        reset_state: If True, the recurrent state is reset before the batch.
        lr_scale: Factor of the learning rate of the batch: with a variable length, its number of
            steps divided by the usual number.
    """

    tokens: Tensor
    targets: Tensor
    reset_state: bool
    lr_scale: float = 1.0

    def to(self, device: torch.device, non_blocking: bool = False) -> Self:
        """Move tokens and targets to the device."""
        return self._replace(
            tokens=self.tokens.to(device, non_blocking=non_blocking),
            targets=self.targets.to(device, non_blocking=non_blocking),
        )
