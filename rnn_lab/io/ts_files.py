"""Readers of time series: `.ts` files of the UEA and UCR archives, and JSON lines."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from rnn_lab.errors import UserError
from rnn_lab.io.archives import open_bytes
from rnn_lab.io.lines import RECORD_LIMIT, bounded_lines
from rnn_lab.io.standard_input import standard_input

FORMATS = ("ts", "jsonl")
Lines = Iterator[tuple[int, str]]


class LabeledSeries(NamedTuple):
    """A series and its label, as in the file.

    Attributes:
        values: Features of every step, `(time, dimensions)` float64, NaN if missing.
        label: Its class; None if the file has no labels.
    """

    values: np.ndarray
    label: str | None


class TSFile:
    """Reader of a `.ts` file: the header is parsed at once, the series lazily.

    Lines that start with `#` are comments, in any encoding. All dimensions of a series have the
    same length; missing values are `?` or `NaN`. Timestamps are not supported.

    Args:
        source: Path of the file, optionally compressed as `.gz`; `-` is standard input.
        labeled: If True, a file without labels is an error.

    Attributes:
        classes: The possible labels, in the order of the header; empty without labels.
        dimensions: Features per step; if not in the header, None until the first series.

    Raises:
        UserError: If the file cannot be read, or its header is invalid or not supported; while
            reading, if a series is malformed: the message states file and line.
    """

    def __init__(self, source: str | Path, *, labeled: bool = True) -> None:
        self.source = str(source)
        self.labeled = labeled
        self.classes: list[str] = []
        self.dimensions: int | None = None
        self._equal_length = False
        self._length: int | None = None
        self._lines = numbered_lines(source)
        self._read_header()

    def __iter__(self) -> Iterator[LabeledSeries]:
        for n, line in self._lines:
            if line and not line.startswith("#"):
                yield self._parse_series(n, line)

    def _read_header(self) -> None:
        has_class_label = False
        for n, line in self._lines:
            if not line or line.startswith("#"):
                continue
            key, *values = line.split()
            if not key.startswith("@"):
                self._fail(n, "a value before @data: header lines start with '@'")
            if key.lower() == "@data":
                break
            has_class_label = has_class_label or key.lower() == "@classlabel"
            self._parse_header_line(n, key.lower(), values)
        else:
            raise UserError(f"{self.source} has no line @data: it is not a .ts file, or truncated")
        if self.labeled and not self.classes:
            reason = "sets @classLabel false" if has_class_label else "has no line @classLabel"
            raise UserError(f"{self.source} {reason}: its series have no labels")

    def _parse_header_line(self, n: int, key: str, values: list[str]) -> None:
        """Parse one line of the header; keys that do not affect parsing are ignored."""
        if key == "@timestamps" and self._parse_bool(n, key, values):
            self._fail(n, "timestamps are not supported: give values only")
        if key == "@targetlabel" and self._parse_bool(n, key, values):
            self._fail(n, "numeric targets are not supported: give classes (@classLabel)")
        if key == "@univariate" and self._parse_bool(n, key, values):
            self.dimensions = 1
        if key in ("@dimensions", "@dimension"):
            self.dimensions = self._parse_int(n, key, values)
        if key == "@equallength":
            self._equal_length = self._parse_bool(n, key, values)
        if key == "@serieslength":
            self._length = self._parse_int(n, key, values)
        if key == "@classlabel" and self._parse_bool(n, key, values):
            self.classes = values[1:]
            if not self.classes or len(set(self.classes)) < len(self.classes):
                self._fail(n, "@classLabel true must be followed by distinct labels")

    def _parse_bool(self, n: int, key: str, values: list[str]) -> bool:
        if not values or values[0].lower() not in ("true", "false"):
            self._fail(n, f"{key} must be true or false, got {' '.join(values) or 'nothing'!r}")
        return values[0].lower() == "true"

    def _parse_int(self, n: int, key: str, values: list[str]) -> int:
        if len(values) != 1 or not values[0].isdecimal() or int(values[0]) < 1:
            self._fail(
                n, f"{key} must be an integer of at least 1, got {' '.join(values) or 'nothing'!r}"
            )
        return int(values[0])

    def _parse_series(self, n: int, line: str) -> LabeledSeries:
        fields, label = line.split(":"), None
        if self.classes:
            *fields, label = fields
            label = label.strip()
            if label not in self.classes:
                self._fail_label(n, label)
        if self.dimensions is None:
            self.dimensions = max(1, len(fields))
        if len(fields) != self.dimensions:
            self._fail(n, f"{len(fields)} dimensions, expected {self.dimensions}")
        columns = [self._parse_dimension(n, field) for field in fields]
        if len({len(column) for column in columns}) > 1:
            lengths = ", ".join(str(len(column)) for column in columns)
            self._fail(n, f"the dimensions have different lengths: {lengths}")
        self._check_length(n, len(columns[0]))
        return LabeledSeries(np.stack(columns, 1), label)

    def _fail_label(self, n: int, label: str) -> NoReturn:
        classes = ", ".join(self.classes[:20])
        if "," in label or not label:
            self._fail(n, f"no label after the last colon, expected one of {classes}")
        self._fail(n, f"label {label!r:.50} is not in the header, which has {classes}")

    def _parse_dimension(self, n: int, field: str) -> np.ndarray:
        fields = field.split(",")
        try:
            values = np.array(["nan" if each.strip() == "?" else each for each in fields], float)
        except ValueError:
            values = np.array([np.inf])
        if np.isinf(values).any():
            bad = next(each.strip() for each in fields if not _is_value(each))
            self._fail(n, f"{bad!r:.50} is not a finite number; a missing value is '?'")
        return values

    def _check_length(self, n: int, length: int) -> None:
        if not self._equal_length:
            return
        if self._length is None:
            self._length = length
        if length != self._length:
            self._fail(n, f"{length} steps, expected {self._length}: the header sets @equalLength")

    def _fail(self, n: int, message: str) -> NoReturn:
        raise UserError(f"{self.source} line {n}: {message}")


def _is_value(field: str) -> bool:
    try:
        return field.strip() == "?" or not np.isinf(float(field))
    except ValueError:
        return False


def read_series(source: str | Path, format: str | None = None) -> Iterator[np.ndarray]:
    r"""Read series lazily, one by one, ignoring labels.

    Args:
        source: File of series, optionally compressed as `.gz`; `-` is standard input.
        format: `ts`, or `jsonl` with a line such as `{"values": [[0.5, 1.0], [0.7, null]]}` for
            each series: a list for each step, null for a missing value. Default: inferred from
            the name.

    Returns:
        The series in the order of the file, `(time, dimensions)` float64, NaN if missing.

    Raises:
        UserError: If the format is unknown or cannot be inferred; while reading, if a line is
            malformed.
    """
    if format is None:
        format = Path(str(source).removesuffix(".gz")).suffix.lower().removeprefix(".")
        if format not in FORMATS:
            raise UserError(
                f"cannot infer the series format of {source}: give --input-format=ts or jsonl"
            )
    if format not in FORMATS:
        raise UserError(f"the format of series must be {' or '.join(FORMATS)}, got {format!r}")
    return SERIES_READERS[format](source)


def _read_ts(source: str | Path) -> Iterator[np.ndarray]:
    return (series.values for series in TSFile(source, labeled=False))


def _read_jsonl(source: str | Path) -> Iterator[np.ndarray]:
    width = None
    for n, line in numbered_lines(source):
        if not line:
            continue
        values = _parse_json_series(line, f"{source} line {n}")
        width = width or values.shape[1]
        if values.shape[1] != width:
            raise UserError(f"{source} line {n}: {values.shape[1]} features, expected {width}")
        yield values


SERIES_READERS: dict[str, Callable[[str | Path], Iterator[np.ndarray]]] = {
    "ts": _read_ts,
    "jsonl": _read_jsonl,
}


def _parse_json_series(line: str, location: str) -> np.ndarray:
    try:
        entry: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{location} is not JSON: {error}") from error
    if not isinstance(entry, dict) or "values" not in entry:
        raise UserError(
            f'{location} is not an object such as {{"values": [[0.5, 1.0], [0.7, null]]}}'
        )
    return to_series_array(entry["values"], location)


def to_series_array(values: Any, location: str = "a series") -> np.ndarray:
    """Convert a series to an array.

    Args:
        values: A list for each step, or an array `(time, dimensions)`; None or NaN if missing.
        location: Name of the series in error messages.

    Returns:
        The values, `(time, dimensions)` float64, NaN if missing.

    Raises:
        UserError: If it has other axes, no steps or no dimensions, or an infinite or non-numeric
            value.
    """
    try:
        array = np.array(values, dtype=float)
    except (OverflowError, TypeError, ValueError) as error:
        raise UserError(
            f"{location}: expected lists of numbers of the same length for all steps ({error})"
        ) from error
    if array.ndim != 2 or not array.size:
        raise UserError(f"{location} has shape {array.shape}, expected (time, features)")
    if np.isinf(array).any():
        raise UserError(f"{location} contains an infinite value")
    return array


def numbered_lines(source: str | Path) -> Lines:
    """Yield the 1-based number and the stripped text of each line of a file.

    Raises:
        UserError: If it cannot be read, or a line other than a comment (`#`) is not UTF-8.
    """
    stdin = str(source) == "-"
    with nullcontext(standard_input()) if stdin else open_bytes(Path(source)) as file:
        yield from _decode_lines(bounded_lines(file, str(source), RECORD_LIMIT), source)


def _decode_lines(lines: Iterable[bytes], source: str | Path) -> Lines:
    for n, line in enumerate(lines, 1):
        try:
            yield n, line.decode("utf-8-sig" if n == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            if not line.startswith(b"#"):
                byte = line[error.start]
                raise UserError(f"{source} line {n}: byte 0x{byte:02x} is not UTF-8") from error
