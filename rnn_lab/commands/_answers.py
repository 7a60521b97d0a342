"""Write answers of `rnn-lab predict`, with the other columns of the input."""

import csv
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import IO, Any, Protocol

from rnn_lab.core.predictor import Answer, InputRow, RecordPredictor
from rnn_lab.errors import UserError

REFERENCE_COLUMNS = ("reference", "reference_score")
FORMULA_STARTS = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
)  # https://owasp.org/www-community/attacks/CSV_Injection


class Writer(Protocol):
    """Writes the rows of a CSV file."""

    def writerow(self, row: Iterable[Any], /) -> Any:
        """Write a row."""


class _FormulaEscaper:
    """Writer of CSV rows whose texts no spreadsheet runs as formulas; numbers are unchanged."""

    def __init__(self, file: IO[str]) -> None:
        self._writer = csv.writer(file, lineterminator="\n")

    def writerow(self, row: Iterable[Any]) -> None:
        """Write a row; an apostrophe comes before texts that start like a formula."""
        self._writer.writerow(
            f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
            for value in row
        )


class InputColumns:
    """The other columns of input rows, kept until the answers to the rows are written.

    Attributes:
        num_answers: Number of answers that were joined with the columns of their rows.
    """

    def __init__(self) -> None:
        self.num_answers = 0
        self._waiting: deque[Mapping[str, Any]] = deque()

    def records(self, rows: Iterable[InputRow]) -> Iterator[Any]:
        """Yield the records of rows, and keep their other columns."""
        for row in rows:
            self._waiting.append(row.columns)
            yield row.record

    def join(self, answers: Iterable[Answer]) -> Iterator[tuple[Mapping[str, Any], Answer]]:
        """Yield answers, in the order of the rows, with the columns of their rows."""
        for answer in answers:
            self.num_answers += 1
            yield (self._waiting.popleft() if self._waiting else {}), answer


def write_answers(
    predictor: RecordPredictor,
    answers: Iterator[tuple[Mapping[str, Any], Answer]],
    format: str,
    file: IO[str],
    *,
    references: bool = False,
    flush: bool = False,
    escape: bool = False,
) -> None:
    """Write answers as JSON objects, as lines of text, or as CSV with a header.

    The other columns of the input come first in JSON and CSV; one whose name an answer uses itself
    is called `input_<name>`.

    Args:
        predictor: The predictor, which formats rows and lines.
        answers: Columns of the input and answers.
        format: `jsonl`, `text` or `csv`.
        file: The file.
        references: Whether answers have references and their scores.
        flush: If True, each answer is written at once.
        escape: If True, texts of CSV that a spreadsheet would run as formulas get an apostrophe.
    """
    lines = {"jsonl": _json_lines, "text": _text_lines}
    if format == "csv":
        writer = _FormulaEscaper(file) if escape else csv.writer(file, lineterminator="\n")
        _write_csv(predictor, answers, writer, file.flush if flush else None, references)
        return
    for line in lines[format](predictor, answers):
        file.write(line + "\n")
        if flush:
            file.flush()
    file.flush()


def _json_lines(
    predictor: RecordPredictor, answers: Iterator[tuple[Mapping[str, Any], Answer]]
) -> Iterator[str]:
    for columns, answer in answers:
        yield json.dumps({**rename(columns, answer), **answer}, ensure_ascii=False)


def _text_lines(
    predictor: RecordPredictor, answers: Iterator[tuple[Mapping[str, Any], Answer]]
) -> Iterator[str]:
    return (predictor.text(answer) for _, answer in answers)


def rename(columns: Mapping[str, Any], taken: Iterable[str]) -> dict[str, Any]:
    """Return the columns of the input, without names that are taken."""
    names = set(taken)
    return {f"input_{k}" if k in names else k: value for k, value in columns.items()}


def _write_csv(
    predictor: RecordPredictor,
    answers: Iterator[tuple[Mapping[str, Any], Answer]],
    writer: "Writer",
    flush: Callable[[], None] | None,
    references: bool,
) -> None:
    header = [*predictor.header(), *(REFERENCE_COLUMNS if references else ())]
    first = next(answers, None)
    names = [] if first is None else list(rename(first[0], header))
    writer.writerow([*names, *header])
    for columns, answer in chain([] if first is None else [first], answers):
        others = rename(columns, header)
        for name in others.keys() - set(names):
            raise UserError(f"a row has the column {name!r}, which the first lacks: use jsonl")
        own = [*predictor.row(answer), *(answer[n] for n in REFERENCE_COLUMNS if references)]
        writer.writerow([*(others.get(name) for name in names), *own])
        if flush is not None:
            flush()
