"""Base classes of predictors, which run inference on raw input."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Self

import torch
from lightning.fabric.plugins import Precision
from torch import Tensor

from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.half_precision import inference_precision
from rnn_lab.errors import UserError
from rnn_lab.io.chunks import chunks
from rnn_lab.io.records import FORMAT_BY_SUFFIX, SPREADSHEETS, read_records
from rnn_lab.special_tokens import PAD_ID

CHUNK_SIZE = 2048  # records that are sorted together, so that similar lengths share a batch
Answer = dict[str, Any]


class Predictor(ABC):
    """Run inference on raw input with a trained task, preprocessed as in training.

    Attributes:
        task_type: Base class or runtime-checkable protocol of the tasks that it accepts.
        task: The trained task.
        batch_size: Maximum number of records per batch; None for as many as fit in a fixed number
            of steps.
        precision: Plugin for the precision of inference, see `use_precision`.
    """

    task_type: ClassVar[type] = object
    task: Any
    batch_size: int | None = None
    precision: Precision = Precision()

    @classmethod
    @abstractmethod
    def from_checkpoint(cls, task: Any, data: dict[str, Any]) -> Self:
        """Build a predictor from a task and the stored state of its data module.

        Args:
            task: The task of the checkpoint, with its weights.
            data: Build specification and preprocessing of the data module.

        Raises:
            UserError: If task and data do not match.
        """

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self.task).__name__})"

    def use_precision(self, name: str) -> None:
        """Run inference in another precision than float32.

        Args:
            name: Name of a precision, as the Trainer takes it, such as `bf16-mixed`.

        Raises:
            UserError: If there is no such precision, or the device does not support it.
        """
        self.precision = inference_precision(name, self.task.device.type)
        self.task = self.precision.convert_module(self.task)

    def add_ensemble(self, checkpoint: Checkpoint, others: Sequence[str]) -> None:
        """Average the predictions with those of further checkpoints.

        Raises:
            UserError: If the task does not support it.
        """
        model = checkpoint.model_name
        raise UserError(f"{checkpoint.path} was saved by {model}, which supports no ensemble")


class InputRow(NamedTuple):
    """A row of an input file.

    Attributes:
        record: The raw record, such as a text.
        columns: The other columns of the row by name, which are copied to the answer.
    """

    record: Any
    columns: Mapping[str, Any] = MappingProxyType({})


class RecordPredictor(Predictor):
    """Predict one answer per record; a record is a raw text unless a subclass reads others.

    Attributes:
        columns: Fields of an answer that are columns of a table, in their order.
        line: Field of an answer that is written as a line of plain text.
    """

    columns: ClassVar[tuple[str, ...]]
    line: ClassVar[str]

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
        """Read raw records from a file, or from standard input if `source` is `-`.

        A file with an unknown suffix is read as one text per line.

        Args:
            source: Path of the file.
            format: Format of the file; None to infer it from the suffix.
            text_column: Name of the column with the texts.
            encoding: Encoding of the file, such as `utf-8`.
            separator: Separator of the fields of CSV; None to infer it.
        """
        suffix = Path(source.removesuffix(".gz")).suffix.lower()
        known_suffix = source == "-" or suffix in (*FORMAT_BY_SUFFIX, *SPREADSHEETS)
        records = read_records(
            source,
            format=format or (None if known_suffix else "txt"),
            text_column=text_column,
            encoding=encoding,
            labeled=False,
            separator=separator,
            keep_columns=True,
            column_hint="set --text-column",
        )
        return (InputRow(record.text, record.columns) for record in records)

    def header(self) -> list[str]:
        """Return the column names of a table of answers."""
        return list(self.columns)

    def row(self, answer: Answer) -> list[Any]:
        """Return an answer as a row of a table, see `header`."""
        return [answer[name] for name in self.columns]

    def text(self, answer: Answer) -> str:
        """Return an answer as a line of plain text."""
        value = answer[self.line]
        return f"{value:.6g}" if isinstance(value, float) else value or ""

    def predict(self, texts: Iterable[Any]) -> list[Answer]:
        """Return the answers to texts, in their order; `answers` yields them one by one.

        Args:
            texts: Raw texts, such as a list or a column of a table, or the records that the
                subclass documents.

        Returns:
            One answer per text, see the subclass.

        Raises:
            UserError: If `texts` is a single text or a whole table, or a text is invalid.
        """
        return list(self.answers(texts))

    def answers(
        self, texts: Iterable[Any], ready: Callable[[], bool] = lambda: True
    ) -> Iterator[Answer]:
        """Yield the answers to any number of texts, in their order and with bounded memory.

        An invalid text is an error after the answers to the texts before it.

        Args:
            texts: Raw texts, or the records that the subclass documents.
            ready: Returns whether the next text can be read without waiting; if not, the texts
                that have arrived are answered first.

        Yields:
            One answer per text, see the subclass.
        """
        _check_collection(texts)
        for chunk in chunks(map(self._checked, texts), CHUNK_SIZE, ready):
            with self.precision.forward_context():
                answers = self._answer(chunk)
            yield from answers

    def _checked(self, raw: Any) -> Any:
        """Return a record if it is a text that can be encoded; raise a `UserError` otherwise."""
        if not isinstance(raw, str):
            raise UserError(f"texts must be strings, got {raw!r}")
        try:
            raw.encode()
        except UnicodeEncodeError as error:  # surrogates that stand for undecodable bytes
            raise UserError(f"a text is not utf-8: {raw!r}") from error
        return raw

    @abstractmethod
    def _answer(self, raw: list[Any]) -> list[Answer]:
        """Return the answers to a list of records, in their order."""


def _check_collection(texts: Iterable[Any]) -> None:
    """Refuse a single text and tables, whose iteration yields characters or names of columns.

    Raises:
        UserError: If `texts` is one of them.
    """
    if isinstance(texts, str):
        raise UserError("predict takes a list of texts, got one string")
    pandas = sys.modules.get("pandas")  # a DataFrame exists only after its import
    if isinstance(texts, Mapping) or (pandas and isinstance(texts, pandas.DataFrame)):
        kind = type(texts).__name__
        raise UserError(f"predict takes a list of texts, got a {kind}: give one of its columns")


def check_data_sizes(task: Any, **stored: Sized) -> None:
    """Check that hyperparameters of a task match the sizes of the stored data.

    Args:
        task: The task.
        stored: By the name of a hyperparameter, a collection whose length it must equal.

    Raises:
        UserError: If a hyperparameter differs from the length of its collection.
    """
    for name, items in stored.items():
        if task.hparams.get(name, len(items)) != len(items):
            raise UserError(f"{name} is {task.hparams[name]}, but the data has {len(items)}")


def bucket_by_length(
    lengths: Sequence[int], max_steps: int, max_rows: int | None = None
) -> Iterator[list[int]]:
    """Split rows into batches of similar lengths.

    Args:
        lengths: Steps of each row.
        max_steps: Maximum number of steps in a batch, padding included.
        max_rows: Maximum number of rows in a batch, which then replaces `max_steps`.

    Yields:
        The indices of the rows of a batch.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    while order:
        size = max_rows or max(1, max_steps // lengths[order[-1]])
        yield order[-size:]
        order = order[:-size]


def pad_ids(rows: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    """Pad token ids on the right to `(batch, time)`; also return the lengths, `(batch,)`."""
    lengths = torch.tensor([len(row) for row in rows])
    longest = int(lengths.max())
    return torch.tensor([row + [PAD_ID] * (longest - len(row)) for row in rows]), lengths
