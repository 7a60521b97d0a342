"""Predictor for raw sentences whose words are separated by spaces."""

from typing import Any, Self

from conll_tagger.data import UNKNOWN
from conll_tagger.model import WordTagger
from rnn_lab import RecordPredictor
from rnn_lab.core.predictor import Answer, check_data_sizes, pad_ids


class TagPredictor(RecordPredictor):
    """Tag raw sentences; an answer has the `text` and its `tags`, separated by spaces."""

    columns = ("text", "tags")
    line = "tags"

    def __init__(self, task: WordTagger, words: list[str], labels: list[str]) -> None:
        self.task, self.labels = task, labels
        self.ids = {word: i for i, word in enumerate(words)}

    @classmethod
    def from_checkpoint(cls, task: Any, data: dict[str, Any]) -> Self:
        """Build the predictor from a task and the stored words and tags."""
        check_data_sizes(task, vocab_size=data["words"], num_classes=data["labels"])
        return cls(task, data["words"], data["labels"])

    def _answer(self, raw: list[str]) -> list[Answer]:
        rows = [[self.ids.get(word, UNKNOWN) for word in text.split()] for text in raw]
        nonempty = [row for row in rows if row]
        predicted = iter(self.task.tags(*pad_ids(nonempty)) if nonempty else [])
        tags = [[self.labels[tag] for tag in next(predicted)] if row else [] for row in rows]
        return [{"text": t, "tags": " ".join(names)} for t, names in zip(raw, tags, strict=True)]
