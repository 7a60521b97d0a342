"""What answers to raw input have in common."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence, Sized
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.errors import UserError
from rnn_lab.io.records import FORMAT_BY_SUFFIX, read_records
from rnn_lab.special_tokens import PAD_ID

CHUNK_SIZE = 2048  # read ahead, so that texts of like lengths share a batch
Answer = dict[str, Any]


class Predictor(ABC):
    """Answers raw input with a trained task, read as in training.

    Attributes:
        task: The trained task.
    """

    task: Any

    @classmethod
    @abstractmethod
    def from_checkpoint(cls, task: Any, data: dict[str, Any]) -> Self:
        """Put a task together with what its checkpoint says of raw input.

        Args:
            task: The task of the checkpoint, with its weights.
            data: What the data module stored of itself.

        Raises:
            UserError: If the two do not fit together.
        """

    def add_ensemble(self, checkpoint: Checkpoint, others: Sequence[str]) -> None:
        """Take further checkpoints into an ensemble with this one.

        Raises:
            UserError: If the task does not support it.
        """
        model = checkpoint.model_name
        raise UserError(f"{checkpoint.path} is of a {model}, which supports no ensemble")


class RecordPredictor(Predictor):
    """Answers raw texts, or what else a subclass reads, one answer for each.

    Attributes:
        columns: Parts of an answer that a table shows, in their order.
        line: The one of them that a line of plain text shows.
    """

    columns: ClassVar[tuple[str, ...]]
    line: ClassVar[str]

    @classmethod
    def read(
        cls, source: str, *, format: str | None, text_column: str, encoding: str
    ) -> Iterable[Any]:
        """Read raw records from a file, or from standard input where `source` is `-`.

        A file whose ending is unknown holds a text per line.

        Args:
            source: Path of the file.
            format: Its format; None decides by its ending.
            text_column: Name of the column that holds texts.
            encoding: Encoding of the text, such as `utf-8`.
        """
        known = source == "-" or Path(source.removesuffix(".gz")).suffix.lower() in FORMAT_BY_SUFFIX
        records = read_records(
            source,
            format=format or (None if known else "txt"),
            text_column=text_column,
            encoding=encoding,
            labeled=False,
        )
        return (record.text for record in records)

    def header(self) -> list[str]:
        """Return the names of the columns of a table of answers."""
        return list(self.columns)

    def row(self, answer: Answer) -> list[Any]:
        """Return an answer as a row of a table, see `header`."""
        return [answer[name] for name in self.columns]

    def text(self, answer: Answer) -> str:
        """Return an answer as a line of plain text."""
        value = answer[self.line]
        return f"{value:.6g}" if isinstance(value, float) else value or ""

    def predict(self, texts: Iterable[Any]) -> list[Answer]:
        """Answer some texts, see `answers`."""
        if isinstance(texts, str):
            raise UserError("predict takes a list of texts, got one string")
        return list(self.answers(texts))

    def answers(self, texts: Iterable[Any]) -> Iterator[Answer]:
        """Answer texts one after the other, in their order; memory stays bounded.

        Args:
            texts: Raw texts, any number of them; see the subclass where it reads others.

        Yields:
            An answer for each, see the subclass.
        """
        checked = map(self._checked, texts)
        while chunk := list(itertools.islice(checked, CHUNK_SIZE)):
            yield from self._answer(chunk)

    def _checked(self, raw: Any) -> Any:
        """Refuse what is no text."""
        if not isinstance(raw, str):
            raise UserError(f"texts must be strings, got {raw!r}")
        try:
            raw.encode()
        except UnicodeEncodeError as error:  # bytes that a stream could not decode
            raise UserError(f"a text is not utf-8: {raw!r}") from error
        return raw

    @abstractmethod
    def _answer(self, raw: list[Any]) -> list[Answer]:
        """Answer some records, in their order."""


def check_data_sizes(task: Any, **known: Sized) -> None:
    """Refuse a task of other sizes than what its checkpoint knows of its data.

    Raises:
        UserError: If one of its hyperparameters is not the length of what is known.
    """
    for name, found in known.items():
        if task.hparams.get(name, len(found)) != len(found):
            raise UserError(f"{name} is {task.hparams[name]}, and {len(found)} are known")


def bucket_by_length(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Cut rows into batches of like lengths with at most so many steps, padding included."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    while order:
        size = max(1, most // lengths[order[-1]])
        yield order[-size:]
        order = order[:-size]


def pad_ids(rows: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(row) for row in rows])
    longest = int(lengths.max())
    return torch.tensor([row + [PAD_ID] * (longest - len(row)) for row in rows]), lengths
