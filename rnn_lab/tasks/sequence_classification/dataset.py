"""Labeled sequences of one split in memory."""

from collections.abc import Sequence

import numpy as np
import torch

from rnn_lab.tasks.sequence_classification.batch import SequenceBatch


class SequenceDataset:
    """Labeled sequences of one split, concatenated in one array.

    Args:
        sequences: Values of each sequence, `(time, input_dim)`.
        labels: Class id of each sequence.
        rows: Index of each sequence in its file; None if they are all of the file.
    """

    def __init__(
        self,
        sequences: Sequence[np.ndarray],
        labels: Sequence[int],
        rows: np.ndarray | None = None,
    ) -> None:
        self.values = np.concatenate(sequences).astype(np.float32)
        self.lengths = np.array([len(sequence) for sequence in sequences])
        self.labels = np.array(labels, dtype=np.int64)
        self.rows = np.arange(len(labels)) if rows is None else rows
        self._starts = np.cumsum(self.lengths) - self.lengths

    def __len__(self) -> int:
        return len(self.labels)

    def class_counts(self, num_classes: int) -> list[int]:
        """Return the number of sequences of each class."""
        return np.bincount(self.labels, minlength=num_classes).tolist()

    def __getitem__(self, rows: np.ndarray) -> SequenceBatch:
        """Gather rows into a padded batch."""
        lengths = self.lengths[rows]
        steps = np.arange(lengths.max())
        indices = self._starts[rows][:, None] + np.minimum(steps, lengths[:, None] - 1)
        values = self.values[indices]
        values[steps >= lengths[:, None]] = 0
        return SequenceBatch(
            torch.from_numpy(values),
            torch.from_numpy(self.labels[rows]),
            torch.from_numpy(lengths),
        )
