"""From a checkpoint alone to answers: a task with the reader and the labels it was trained with."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any

import torch

from rnn_lab.batches import PAD_ID
from rnn_lab.data.module import saved
from rnn_lab.data.vocabulary import TextReader
from rnn_lab.errors import UserError
from rnn_lab.models import TextClassifier

TEXTS_AT_ONCE = 2048  # read ahead, so that texts of like lengths share a batch
WORDS_AT_ONCE = 16_384  # in a batch, padding included

Answer = dict[str, Any]


def load(path: str, device: str = "cpu") -> "Predictor":
    """Build a task again from a checkpoint, ready to answer raw text.

    Only load checkpoints that you trust: the class that a checkpoint names is imported.

    Args:
        path: A checkpoint of a model that reads text.
        device: Where to compute, such as `cuda:0`.

    Raises:
        UserError: If it is not a checkpoint of this project, or its model reads no text.
    """
    recipe = saved(path)
    data = recipe.get("data", {})
    if "reader" not in data:
        raise UserError(f"{path} is of a {_name(recipe['model'])}, which reads no text")
    task = build(recipe["model"])
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    task.load_state_dict(checkpoint["state_dict"])
    reader = TextReader.from_state_dict(data["reader"])
    return Predictor(task.to(device).eval(), reader, data["labels"])


def build(recipe: dict[str, Any]) -> Any:
    """Build the task that a checkpoint describes, with first weights.

    Raises:
        UserError: If there is no such class here, or it does not take the arguments.
    """
    module, _, name = recipe["class_path"].rpartition(".")
    arguments = {
        k: v for k, v in recipe["init_args"].items() if k not in ("optimizer", "scheduler")
    }
    try:
        return getattr(import_module(module), name)(**arguments)
    except (ImportError, AttributeError, TypeError) as error:
        raise UserError(
            f"the checkpoint's {recipe['class_path']} cannot be built: {error}"
        ) from error


def _checked(text: str) -> str:
    if not isinstance(text, str):
        raise UserError(f"texts must be strings, got {text!r}")
    return text


def _name(recipe: dict[str, Any]) -> str:
    return recipe["class_path"].rpartition(".")[2]


class Predictor:
    """Answers raw text.

    Args:
        task: A trained model that reads text.
        reader: Turns text into ids as in training.
        labels: Names of the classes in the order of their ids.
    """

    def __init__(self, task: TextClassifier, reader: TextReader, labels: Sequence[str]) -> None:
        self.task = task
        self.reader = reader
        self.labels = list(labels)
        self.multi_label = bool(getattr(task, "multi_label", False))

    def predict(self, texts: Iterable[str]) -> list[Answer]:
        """Answer some texts, see `answers`."""
        if isinstance(texts, str):
            raise UserError("predict takes a list of texts, got one string")
        return list(self.answers(texts))

    def answers(self, texts: Iterable[str]) -> Iterator[Answer]:
        """Answer texts one after the other, in their order; memory stays bounded.

        Args:
            texts: Raw texts, any number of them.

        Yields:
            For each text its `text`, its `label` and the `probabilities` of all labels by name;
            label and probabilities are None where there is no word to read. Of multi-label data
            `label` is the list of labels at least as likely as not.
        """
        texts = map(_checked, texts)
        while chunk := list(itertools.islice(texts, TEXTS_AT_ONCE)):
            yield from self._answer(chunk)

    def _answer(self, texts: list[str]) -> list[Answer]:
        answers: list[Answer] = [
            {"text": text, "label": None, "probabilities": None} for text in texts
        ]
        rows = self.reader.encode(texts)
        order = sorted((i for i, row in enumerate(rows) if row), key=lambda i: len(rows[i]))
        while order:
            size = max(1, WORDS_AT_ONCE // len(rows[order[-1]]))
            batch, order = order[-size:], order[:-size]
            for i, probabilities in zip(batch, self._read([rows[i] for i in batch]), strict=True):
                answers[i]["label"] = self._decide(probabilities)
                answers[i]["probabilities"] = dict(zip(self.labels, probabilities, strict=True))
        return answers

    @torch.inference_mode()
    def _read(self, rows: list[list[int]]) -> list[list[float]]:
        """Probabilities of each class for each row, as numbers."""
        lengths = torch.tensor([len(row) for row in rows])
        longest = int(lengths.max())
        tokens = torch.tensor([row + [PAD_ID] * (longest - len(row)) for row in rows])
        return self.task.probabilities(tokens.to(self.task.device), lengths).tolist()

    def _decide(self, probabilities: list[float]) -> str | list[str]:
        if self.multi_label:
            return [k for k, p in zip(self.labels, probabilities, strict=True) if p >= 0.5]
        return self.labels[max(range(len(probabilities)), key=probabilities.__getitem__)]
