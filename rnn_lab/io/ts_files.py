"""Files of series: `.ts` archives as UEA and UCR publish them, and JSON lines."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from rnn_lab.errors import UserError
from rnn_lab.io.archives import open_bytes

FORMATS = ("ts", "jsonl")
Lines = Iterator[tuple[int, str]]


class Case(NamedTuple):
    """A series as its file has it.

    Attributes:
        values: Features of every step, `(time, dimensions)` float64, NaN where missing.
        label: Its class; None in a file without labels.
    """

    values: np.ndarray
    label: str | None


class TSFile:
    """A `.ts` file, read lazily: its header at once, then its cases one after the other.

    Lines that start with `#` are comments, in any encoding. All dimensions of a case have the same
    length; missing values are `?` or `NaN`. Timestamps are not read.

    Args:
        source: Path of the file, also as `.gz`; `-` is standard input.
        labeled: Whether a file without labels is refused.

    Attributes:
        classes: The labels that there can be, in the order of the header; none without labels.
        dimensions: Features of a step; None until the first case where the header is silent.

    Raises:
        UserError: If the file cannot be read, or its header is damaged or of another kind; while
            reading, if a case is damaged: the message names file and line.
    """

    def __init__(self, source: str | Path, *, labeled: bool = True) -> None:
        self.source = str(source)
        self.labeled = labeled
        self.classes: list[str] = []
        self.dimensions: int | None = None
        self._equal = False
        self._length: int | None = None
        self._lines = numbered_lines(source)
        self._read_header()

    def __iter__(self) -> Iterator[Case]:
        for n, line in self._lines:
            if line and not line.startswith("#"):
                yield self._case(n, line)

    def _read_header(self) -> None:
        told = False
        for n, line in self._lines:
            if not line or line.startswith("#"):
                continue
            key, *words = line.split()
            if not key.startswith("@"):
                self._refuse(n, "a value before @data: the header has lines such as '@data'")
            if key.lower() == "@data":
                break
            told = told or key.lower() == "@classlabel"
            self._take(n, key.lower(), words)
        else:
            raise UserError(f"{self.source} has no line @data: it is no .ts file, or cut short")
        if self.labeled and not self.classes:
            wish = "says @classLabel false" if told else "has no line @classLabel"
            raise UserError(f"{self.source} {wish}: its series have no labels")

    def _take(self, n: int, key: str, words: list[str]) -> None:
        """Take one line of the header; what says nothing of the form of the cases is passed."""
        if key == "@timestamps" and self._flag(n, key, words):
            self._refuse(n, "series with timestamps are not read: give plain values")
        if key == "@targetlabel" and self._flag(n, key, words):
            self._refuse(n, "numbers as targets are not read: give classes (@classLabel)")
        if key == "@univariate" and self._flag(n, key, words):
            self.dimensions = 1
        if key in ("@dimensions", "@dimension"):
            self.dimensions = self._number(n, key, words)
        if key == "@equallength":
            self._equal = self._flag(n, key, words)
        if key == "@serieslength":
            self._length = self._number(n, key, words)
        if key == "@classlabel" and self._flag(n, key, words):
            self.classes = words[1:]
            if not self.classes or len(set(self.classes)) < len(self.classes):
                self._refuse(n, "@classLabel true lists the labels after it, each once")

    def _flag(self, n: int, key: str, words: list[str]) -> bool:
        if not words or words[0].lower() not in ("true", "false"):
            self._refuse(n, f"{key} is true or false, got {' '.join(words) or 'nothing'!r}")
        return words[0].lower() == "true"

    def _number(self, n: int, key: str, words: list[str]) -> int:
        if len(words) != 1 or not words[0].isdecimal() or int(words[0]) < 1:
            self._refuse(n, f"{key} is a number from 1, got {' '.join(words) or 'nothing'!r}")
        return int(words[0])

    def _case(self, n: int, line: str) -> Case:
        parts, label = line.split(":"), None
        if self.classes:
            *parts, label = parts
            label = label.strip()
            if label not in self.classes:
                self._refuse_label(n, label)
        if self.dimensions is None:
            self.dimensions = max(1, len(parts))
        if len(parts) != self.dimensions:
            self._refuse(n, f"{len(parts)} dimensions, wanted {self.dimensions}")
        columns = [self._column(n, part) for part in parts]
        if len({len(column) for column in columns}) > 1:
            lengths = ", ".join(str(len(column)) for column in columns)
            self._refuse(n, f"the dimensions have unequal lengths: {lengths}")
        self._check_length(n, len(columns[0]))
        return Case(np.stack(columns, 1), label)

    def _refuse_label(self, n: int, label: str) -> NoReturn:
        known = ", ".join(self.classes[:20])
        if "," in label or not label:
            self._refuse(n, f"no label after the last colon, wanted one of {known}")
        self._refuse(n, f"label {label!r:.50} is not in the header, which has {known}")

    def _column(self, n: int, part: str) -> np.ndarray:
        words = part.split(",")
        try:
            values = np.array(["nan" if word.strip() == "?" else word for word in words], float)
        except ValueError:
            values = np.array([np.inf])
        if np.isinf(values).any():
            bad = next(word.strip() for word in words if not _is_value(word))
            self._refuse(n, f"{bad!r:.50} is no finite number; a missing value is '?'")
        return values

    def _check_length(self, n: int, length: int) -> None:
        if not self._equal:
            return
        if self._length is None:
            self._length = length
        if length != self._length:
            self._refuse(n, f"{length} steps, wanted {self._length}: the header says @equalLength")

    def _refuse(self, n: int, fault: str) -> NoReturn:
        raise UserError(f"{self.source} line {n}: {fault}")


def _is_value(word: str) -> bool:
    try:
        return word.strip() == "?" or not np.isinf(float(word))
    except ValueError:
        return False


def read_series(source: str | Path, format: str | None = None) -> Iterator[np.ndarray]:
    r"""Read unlabeled series one after the other; labels that a file has are passed over.

    Args:
        source: File of series, also as `.gz`; `-` is standard input.
        format: `ts`, or `jsonl` with a line such as `{"values": [[0.5, 1.0], [0.7, null]]}` for
            each series: a list for each step, null where a value is missing. By default told
            from the name.

    Returns:
        The series in the order of the file, `(time, dimensions)` float64, NaN where missing.

    Raises:
        UserError: If the format is unknown or does not show; while reading, if a line is damaged.
    """
    if format is None:
        format = Path(str(source).removesuffix(".gz")).suffix.lower().removeprefix(".")
        if format not in FORMATS:
            wish = "give --input-format=ts or jsonl"
            raise UserError(f"{source} does not tell how it holds series: {wish}")
    if format not in FORMATS:
        raise UserError(f"series are read from {' or '.join(FORMATS)}, got format {format!r}")
    return SERIES_READERS[format](source)


def _series_of_ts(source: str | Path) -> Iterator[np.ndarray]:
    return (case.values for case in TSFile(source, labeled=False))


def _series_of_jsonl(source: str | Path) -> Iterator[np.ndarray]:
    width = None
    for n, line in numbered_lines(source):
        if not line:
            continue
        values = _values(line, f"{source} line {n}")
        width = width or values.shape[1]
        if values.shape[1] != width:
            raise UserError(f"{source} line {n}: {values.shape[1]} features a step, wanted {width}")
        yield values


SERIES_READERS: dict[str, Callable[[str | Path], Iterator[np.ndarray]]] = {
    "ts": _series_of_ts,
    "jsonl": _series_of_jsonl,
}


def _values(line: str, where: str) -> np.ndarray:
    try:
        entry: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not JSON: {error}") from error
    if not isinstance(entry, dict) or "values" not in entry:
        raise UserError(f'{where} is not an object such as {{"values": [[0.5, 1.0], [0.7, null]]}}')
    return checked_values(entry["values"], where)


def checked_values(values: Any, where: str = "a series") -> np.ndarray:
    """Bring a series to an array.

    Args:
        values: A list for each step, or an array `(time, dimensions)`; None or NaN is missing.
        where: What an error calls it.

    Returns:
        The values, `(time, dimensions)` float64, NaN where missing.

    Raises:
        UserError: If it has other axes, no step or no dimension, or what is no finite number.
    """
    try:
        found = np.array(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{where}: wanted an equally long list of numbers for each step ({error})"
        ) from error
    if found.ndim != 2 or not found.size:
        raise UserError(f"{where} has shape {found.shape}, wanted (time, features)")
    if np.isinf(found).any():
        raise UserError(f"{where} holds an infinite value")
    return found


def numbered_lines(source: str | Path) -> Lines:
    """Read the lines of a file with their numbers from 1, without the space around them.

    Raises:
        UserError: If it cannot be read, or a line that is no comment (`#`) is not UTF-8.
    """
    stdin = nullcontext(sys.stdin.buffer)  # not ours to close
    with stdin if str(source) == "-" else open_bytes(Path(source)) as file:
        yield from _decoded(file, source)


def _decoded(lines: Iterable[bytes], source: str | Path) -> Lines:
    for n, line in enumerate(lines, 1):
        try:
            yield n, line.decode("utf-8-sig" if n == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            if not line.startswith(b"#"):
                byte = line[error.start]
                raise UserError(f"{source} line {n}: byte 0x{byte:02x} is not UTF-8") from error
