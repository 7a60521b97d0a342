"""Labels for raw text."""

from collections.abc import Sequence
from typing import Any, Self

import torch

from rnn_lab.classification.predictor import LabelPredictor
from rnn_lab.core.predictor import Answer, bucket_by_length, check_data_sizes, pad_ids
from rnn_lab.tasks.text_classification.models import BaseTextClassifier
from rnn_lab.tasks.text_classification.tokenizer import TruncatingTokenizer

MAX_BATCH_TOKENS = 16_384  # in a batch, padding included


class TextPredictor(LabelPredictor):
    """Labels raw text.

    Each answer has its `text`, its `label` and the `probabilities` of all labels by name; label
    and probabilities are None where there is no word to read. Of multi-label data `label` is the
    list of labels at least as likely as not.

    Args:
        task: A trained model that reads text.
        reader: Turns text into ids as in training.
        labels: Names of the classes in the order of their ids.
    """

    columns = ("text", "label")

    def __init__(
        self, task: BaseTextClassifier, reader: TruncatingTokenizer, labels: Sequence[str]
    ) -> None:
        self.task = task
        self.reader = reader
        self.labels = list(labels)
        self.multi_label = bool(getattr(task, "multi_label", False))

    @classmethod
    def from_checkpoint(cls, task: Any, data: dict[str, Any]) -> Self:
        """Read vocabulary and labels."""
        reader = TruncatingTokenizer.from_state_dict(data["reader"])
        check_data_sizes(task, vocab_size=reader, num_classes=data["labels"])
        return cls(task, reader, data["labels"])

    def _answer(self, texts: list[str]) -> list[Answer]:
        answers: list[Answer] = [
            {"text": text, "label": None, "probabilities": None} for text in texts
        ]
        rows = self.reader.encode(texts)
        known = [i for i, row in enumerate(rows) if row]
        for batch in bucket_by_length([len(rows[i]) for i in known], MAX_BATCH_TOKENS):
            chosen = [known[i] for i in batch]
            for i, probabilities in zip(chosen, self._read([rows[i] for i in chosen]), strict=True):
                answers[i]["label"] = self._decide(probabilities)
                answers[i]["probabilities"] = dict(zip(self.labels, probabilities, strict=True))
        return answers

    @torch.inference_mode()
    def _read(self, rows: list[list[int]]) -> list[list[float]]:
        """Probabilities of each class for each row, as numbers."""
        tokens, lengths = pad_ids(rows)
        return self.task.probabilities(tokens.to(self.task.device), lengths).tolist()

    def _decide(self, probabilities: list[float]) -> str | list[str]:
        if self.multi_label:
            return [k for k, p in zip(self.labels, probabilities, strict=True) if p >= 0.5]
        return self.labels[max(range(len(probabilities)), key=probabilities.__getitem__)]
