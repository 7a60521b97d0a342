"""Labels for raw series."""

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
import torch

from rnn_lab.classification.predictor import LabelPredictor
from rnn_lab.core.predictor import Answer, bucket_by_length, check_data_sizes
from rnn_lab.errors import UserError
from rnn_lab.io.ts_files import read_series, to_series_array
from rnn_lab.tasks.sequence_classification.models import BaseSequenceClassifier
from rnn_lab.tasks.sequence_classification.series import SeriesScaler, SeriesSplit

MAX_BATCH_STEPS = 16_384  # in a batch, padding included


class SequencePredictor(LabelPredictor):
    """Labels raw series, each an array `(time, input_dim)` in which NaN is a missing value.

    Each answer has its `label`, the `probabilities` of all labels by name, and how many values
    were `missing` and read as the mean.

    Args:
        task: A trained model that reads series.
        scaler: Scales values as in training.
        labels: Names of the classes in the order of their ids.
    """

    columns = ("missing", "label")

    def __init__(
        self, task: BaseSequenceClassifier, scaler: SeriesScaler, labels: Sequence[str]
    ) -> None:
        self.task = task
        self.scaler = scaler
        self.labels = list(labels)

    @classmethod
    def read(
        cls, source: str, *, format: str | None, text_column: str, encoding: str
    ) -> Iterable[np.ndarray]:
        """Read series from a `.ts` or `.jsonl` file, see `rnn_lab.io.ts_files.read_series`."""
        return read_series(source, format)

    @classmethod
    def from_checkpoint(cls, task: Any, data: dict[str, Any]) -> Self:
        """Read labels and how values were scaled; generated ones are not."""
        if "scaler" in data:
            scaler = SeriesScaler.from_state_dict(data["scaler"])
        else:
            scaler = SeriesScaler.identity(data["input_dim"])
        for each in (scaler.mean, scaler.deviation):
            check_data_sizes(task, input_dim=each, num_classes=data["labels"])
        return cls(task, scaler, data["labels"])

    def _checked(self, raw: Any) -> np.ndarray:
        values, wanted = to_series_array(raw), len(self.scaler.mean)
        if values.shape[1] != wanted:
            raise UserError(f"a series has {values.shape[1]} features a step, wanted {wanted}")
        return values

    def _answer(self, raw: list[np.ndarray]) -> list[Answer]:
        rows = SeriesSplit(list(map(self.scaler.apply, raw)), [0] * len(raw))
        found: list[list[float]] = [[]] * len(raw)
        for batch in bucket_by_length(rows.lengths.tolist(), MAX_BATCH_STEPS):
            for i, probabilities in zip(batch, self._read(rows, batch), strict=True):
                found[i] = probabilities
        return [self._say(*each) for each in zip(raw, found, strict=True)]

    @torch.inference_mode()
    def _read(self, rows: SeriesSplit, batch: list[int]) -> list[list[float]]:
        """Probabilities of each class for some rows, as numbers."""
        values, _, lengths = rows[np.array(batch)]
        return self.task.probabilities(values.to(self.task.device), lengths).tolist()

    def _say(self, values: np.ndarray, probabilities: list[float]) -> Answer:
        return {
            "label": self.labels[int(np.argmax(probabilities))],
            "probabilities": dict(zip(self.labels, probabilities, strict=True)),
            "missing": int(np.isnan(values).sum()),
        }
