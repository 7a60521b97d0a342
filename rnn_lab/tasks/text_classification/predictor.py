"""Predictor of text classification: labels for raw text."""

from collections.abc import Sequence
from typing import Any, Self

import torch

from rnn_lab.classification.predictor import LabelPredictor
from rnn_lab.core.predictor import Answer, bucket_by_length, check_data_sizes, pad_ids
from rnn_lab.tasks.text_classification.task import TextClassificationTask
from rnn_lab.tasks.text_classification.tokenizer import TruncatingTokenizer

MAX_BATCH_TOKENS = 16_384  # padding included


class TextPredictor(LabelPredictor):
    """Predict labels of raw text.

    An answer has the `text`, its `label` and the `probabilities` of all labels by name; label and
    probabilities are None for a text without words. For a multi-label model `label` is the list of
    labels with a probability of at least 0.5.

    Args:
        task: A trained text classifier.
        tokenizer: Tokenizer of the training data.
        labels: Names of the classes in the order of their ids.
    """

    columns = ("text", "label")

    def __init__(
        self, task: TextClassificationTask, tokenizer: TruncatingTokenizer, labels: Sequence[str]
    ) -> None:
        self.task = task
        self.tokenizer = tokenizer
        self.labels = list(labels)
        self.multi_label = task.loss.multi_label

    @classmethod
    def from_checkpoint(cls, task: Any, data: dict[str, Any]) -> Self:
        """Restore tokenizer and labels."""
        tokenizer = TruncatingTokenizer.from_state_dict(data["tokenizer"])
        check_data_sizes(task, vocab_size=tokenizer, num_classes=data["labels"])
        return cls(task, tokenizer, data["labels"])

    def _answer(self, texts: list[str]) -> list[Answer]:
        answers: list[Answer] = [
            {"text": text, "label": None, "probabilities": None} for text in texts
        ]
        rows = self.tokenizer.encode(texts)
        nonempty = [i for i, row in enumerate(rows) if row]
        lengths = [len(rows[i]) for i in nonempty]
        for batch in bucket_by_length(lengths, MAX_BATCH_TOKENS, self.batch_size):
            indices = [nonempty[i] for i in batch]
            batch_probabilities = self._probabilities([rows[i] for i in indices])
            for i, probabilities in zip(indices, batch_probabilities, strict=True):
                answers[i]["label"] = self._to_label(probabilities)
                answers[i]["probabilities"] = dict(zip(self.labels, probabilities, strict=True))
        return answers

    @torch.inference_mode()
    def _probabilities(self, rows: list[list[int]]) -> list[list[float]]:
        """Compute the probability of each class for each row."""
        tokens, lengths = pad_ids(rows)
        return self.task.probabilities(tokens.to(self.task.device), lengths).tolist()

    def _to_label(self, probabilities: list[float]) -> str | list[str]:
        if self.multi_label:
            return [k for k, p in zip(self.labels, probabilities, strict=True) if p >= 0.5]
        return self.labels[max(range(len(probabilities)), key=probabilities.__getitem__)]
