"""Padded batches from ragged arrays of ids."""

import numpy as np
import torch
from torch import Tensor

from rnn_lab.special_tokens import PAD_ID


def gather_padded(ids: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Gather nonempty rows of a ragged array into a padded batch.

    Args:
        ids: Ids of all rows, end to end.
        offsets: Start of each row, and the end of the last.
        rows: Indices of the rows.

    Returns:
        The ids `(rows, time)` int64, `PAD_ID` after the end of a row, and the lengths `(rows,)`.
    """
    start = offsets[rows]
    lengths = offsets[rows + 1] - start
    steps = np.arange(lengths.max())
    last = start + lengths - 1
    tokens = ids[np.minimum(start[:, None] + steps, last[:, None])].astype(np.int64)
    tokens[steps >= lengths[:, None]] = PAD_ID
    return torch.from_numpy(tokens), torch.from_numpy(lengths)
