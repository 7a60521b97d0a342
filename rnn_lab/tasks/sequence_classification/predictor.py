"""Predictor of sequence classification: labels for raw sequences."""

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
import torch

from rnn_lab.classification.predictor import LabelPredictor
from rnn_lab.core.predictor import Answer, InputRow, bucket_by_length, check_data_sizes
from rnn_lab.errors import UserError
from rnn_lab.io.ts_files import read_series, to_series_array
from rnn_lab.tasks.sequence_classification.dataset import SequenceDataset
from rnn_lab.tasks.sequence_classification.models import BaseSequenceClassifier
from rnn_lab.tasks.sequence_classification.scaler import StandardScaler

MAX_BATCH_STEPS = 16_384  # padding included


class SequencePredictor(LabelPredictor):
    """Predict labels of raw sequences: arrays `(time, input_dim)`, NaN where values are missing.

    An answer has the `label`, the `probabilities` of all labels by name, and the number of
    `missing` values, which are replaced by the training mean.

    Args:
        task: A trained sequence classifier.
        scaler: Scaler of the training data.
        labels: Names of the classes in the order of their ids.
    """

    columns = ("missing", "label")

    def __init__(
        self, task: BaseSequenceClassifier, scaler: StandardScaler, labels: Sequence[str]
    ) -> None:
        self.task = task
        self.scaler = scaler
        self.labels = list(labels)

    @classmethod
    def read(
        cls,
        source: str,
        *,
        format: str | None,
        text_column: str | int,
        encoding: str,
        separator: str | None = None,
    ) -> Iterable[InputRow]:
        """Read sequences from a `.ts` or `.jsonl` file, see `rnn_lab.io.ts_files.read_series`."""
        return map(InputRow, read_series(source, format))

    @classmethod
    def from_checkpoint(cls, task: Any, data: dict[str, Any]) -> Self:
        """Restore labels and scaler; generated data has no scaler."""
        if "scaler" in data:
            scaler = StandardScaler.from_state_dict(data["scaler"])
        else:
            scaler = StandardScaler.identity(data["input_dim"])
        for statistics in (scaler.mean, scaler.std):
            check_data_sizes(task, input_dim=statistics, num_classes=data["labels"])
        return cls(task, scaler, data["labels"])

    def _checked(self, raw: Any) -> np.ndarray:
        values, expected = to_series_array(raw), len(self.scaler.mean)
        if values.shape[1] != expected:
            raise UserError(
                f"a sequence has {values.shape[1]} features per step, expected {expected}"
            )
        return values

    def _answer(self, raw: list[np.ndarray]) -> list[Answer]:
        dataset = SequenceDataset(list(map(self.scaler.apply, raw)), [0] * len(raw))
        probabilities: list[list[float]] = [[]] * len(raw)
        for batch in bucket_by_length(dataset.lengths.tolist(), MAX_BATCH_STEPS, self.batch_size):
            for i, row in zip(batch, self._probabilities(dataset, batch), strict=True):
                probabilities[i] = row
        return [self._to_answer(*pair) for pair in zip(raw, probabilities, strict=True)]

    @torch.inference_mode()
    def _probabilities(self, dataset: SequenceDataset, batch: list[int]) -> list[list[float]]:
        """Compute the probability of each class for the rows of a batch."""
        values, _, lengths = dataset[np.array(batch)]
        dtype = torch.promote_types(values.dtype, self.task.dtype)
        return self.task.probabilities(values.to(self.task.device, dtype), lengths).tolist()

    def _to_answer(self, values: np.ndarray, probabilities: list[float]) -> Answer:
        return {
            "label": self.labels[int(np.argmax(probabilities))],
            "probabilities": dict(zip(self.labels, probabilities, strict=True)),
            "missing": int(np.isnan(values).sum()),
        }
