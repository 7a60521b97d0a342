"""Readers of text records: CSV, TSV, JSONL, labeled lines, folders, archives."""

import codecs
import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple, cast

from rnn_lab.errors import UserError
from rnn_lab.io.archives import MEMBER_LIMIT, check_size, members, open_bytes
from rnn_lab.io.lines import (
    LINE_LIMIT,
    RECORD_LIMIT,
    RowLines,
    bounded_lines,
    check_encoding,
    format_names,
)

Columns = str | int | Sequence[str | int]
SPACE_OR_TAB = re.compile("[ \t]")
FORMATS = ("csv", "tsv", "jsonl", "txt", "folder", "archive")
FORMAT_BY_SUFFIX = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".json": "jsonl",
    ".txt": "txt",
    ".tar": "archive",
    ".tgz": "archive",
    ".zip": "archive",
}
CSV_ERRORS = {
    "unexpected end of data": "a quote is not closed",
    "new-line character seen in unquoted field": "a carriage return outside quotes",
}


class Record(NamedTuple):
    """A text with its labels: one, or any number in multi-label data; none if unlabeled."""

    text: str
    labels: tuple[str, ...]


def read_records(
    path: str | Path,
    *,
    format: str | None = None,
    text_column: Columns = "text",
    label_column: str | int = "label",
    encoding: str = "utf-8",
    label_separator: str | None = None,
    header: bool = True,
    labeled: bool = True,
) -> Iterator[Record]:
    r"""Read the records of a file, a folder or an archive lazily, in bounded memory.

    Only `\n` and `\r\n` end a line. A byte order mark is skipped.

    Args:
        path: File (optionally compressed as `.gz`), folder or archive; `-` is standard input,
            which must be unlabeled.
        format: `csv`; `tsv` (quotes are literal); `jsonl` (one object per line); `txt` (label, one
            space or tab, text; only the text if unlabeled); `folder` and `archive` (one file per
            text, whose folder is the label). Default: inferred from the name.
        text_column: Name (CSV, TSV, JSONL) or 1-based number (CSV, TSV) of the text; the texts of
            several columns are joined by a space.
        label_column: Name or 1-based number of the label.
        encoding: Text encoding; a line feed must be the byte 0x0a in it.
        label_separator: Separator of several labels, for multi-label data.
        header: If True, the first row of CSV or TSV contains the column names.
        labeled: If False, labels are not read and are empty in every record.

    Returns:
        The records in the order of the file; for a folder, sorted by label, then by name.

    Raises:
        UserError: If the path or an option is invalid; while reading, if a record is malformed:
            the message states file, line or row, and reason.
    """
    format = _infer_format(path, format)
    if str(path) == "-" and labeled:
        raise UserError("labeled records cannot be read from standard input: give a file")
    if str(path) != "-" and not Path(path).exists():
        raise UserError(f"{path} does not exist")
    encoding = _normalize_encoding(encoding)
    options = _Options(
        str(path), text_column, label_column, encoding, label_separator, header, labeled
    )
    if format == "folder":
        return _read_folder(Path(path), options)
    if format == "archive":
        return _read_members(members(Path(path), "*.txt"), options)
    limit = LINE_LIMIT if format == "txt" else RECORD_LIMIT
    return _read_lines(path, LINE_READERS[format], options, limit)


def read_members(
    files: Iterable[tuple[str, bytes]],
    *,
    source: str = "archive",
    encoding: str = "utf-8",
    label_separator: str | None = None,
) -> Iterator[Record]:
    """Read one record from each member of an archive, whose folder is the label.

    Args:
        files: Names and contents, as `rnn_lab.io.archives.members` yields them.
        source: Name of the archive in error messages.
        encoding: Text encoding.
        label_separator: Separator of several labels.
    """
    return _read_members(
        files,
        _Options(source, encoding=_normalize_encoding(encoding), label_separator=label_separator),
    )


@dataclass(frozen=True)
class _Options:
    source: str
    text_column: Columns = "text"
    label_column: str | int = "label"
    encoding: str = "utf-8"
    label_separator: str | None = None
    header: bool = True
    labeled: bool = True

    @property
    def text_columns(self) -> Sequence[str | int]:
        """The text columns as a sequence."""
        single = isinstance(self.text_column, str | int)
        return cast(Any, (self.text_column,) if single else self.text_column)

    def labels(self, field: str, location: str) -> tuple[str, ...]:
        """Split a label field, which may be empty only in multi-label data."""
        if self.label_separator is not None:
            parts = (part.strip() for part in field.split(self.label_separator))
            return tuple(part for part in parts if part)
        if not field.strip():
            raise UserError(f"{location}: the label is empty")
        return (field,)


def _infer_format(path: str | Path, format: str | None) -> str:
    if format is not None and format not in FORMATS:
        raise UserError(f"format {format!r} is unknown: give one of {', '.join(FORMATS)}")
    if format is not None or str(path) == "-":
        return format or "txt"
    if Path(path).is_dir():
        return "folder"
    suffix = Path(str(path).removesuffix(".gz")).suffix.lower()
    if suffix not in FORMAT_BY_SUFFIX:
        raise UserError(f"cannot infer the format of {path}: give one of {', '.join(FORMATS)}")
    return FORMAT_BY_SUFFIX[suffix]


def _normalize_encoding(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        line_feed = "\n".encode(name)
    except LookupError as error:
        raise UserError(f"encoding {encoding!r} is unknown: give utf-8, cp1252, ...") from error
    if line_feed not in (b"\n", codecs.BOM_UTF8 + b"\n"):
        raise UserError(f"encoding {encoding!r} is not byte-oriented: convert to utf-8")
    return "utf-8" if name == "utf-8-sig" else name


def _decode(data: bytes, source: str, encoding: str, first_line: int = 1) -> str:
    """Decode complete lines, without the byte order mark of the first one."""
    if first_line == 1 and encoding == "utf-8":
        data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = first_line + data.count(b"\n", 0, error.start)
        suggestion = "cp1252" if encoding == "utf-8" else "latin-1"
        raise UserError(
            f"{source} is not {encoding} at line {line} (byte 0x{data[error.start]:02x}): "
            f"set its encoding (--data.encoding, or --encoding of predict), such as {suggestion}"
        ) from error


def _read_folder(folder: Path, options: _Options) -> Iterator[Record]:
    """Read `<folder>/<label>/*.txt`, or `<folder>/*.txt` if unlabeled."""
    prefix = "*/" if options.labeled else ""
    files = sorted([*folder.glob(f"{prefix}*.txt"), *folder.glob(f"{prefix}*.txt.gz")])
    if not files:
        raise UserError(f"{folder} contains no file {prefix.replace('*', '<label>')}*.txt")
    for path in files:
        with open_bytes(path) as file:
            content = file.read(MEMBER_LIMIT + 1)
        check_size(path, "text", len(content), MEMBER_LIMIT)
        yield _record_of_file(str(path), path.parent.name, content, options)


def _read_members(files: Iterable[tuple[str, bytes]], options: _Options) -> Iterator[Record]:
    for name, content in files:
        folder, _, _ = name.rpartition("/")
        yield _record_of_file(f"{options.source}:{name}", folder.split("/")[-1], content, options)


def _record_of_file(source: str, folder: str, content: bytes, options: _Options) -> Record:
    labels = options.labels(folder, source) if options.labeled else ()
    check_encoding(content, source)
    return Record(_decode(content, source, options.encoding), labels)


def _read_lines(
    path: str | Path, read: "LineReader", options: _Options, limit: int
) -> Iterator[Record]:
    stdin = nullcontext(sys.stdin.buffer)  # must stay open
    with stdin if str(path) == "-" else open_bytes(Path(path)) as file:
        lines = enumerate(bounded_lines(file, options.source, limit), 1)
        decoded = (_decode(line, options.source, options.encoding, n) for n, line in lines)
        yield from read(decoded, options)


def _read_txt(lines: Iterator[str], options: _Options) -> Iterator[Record]:
    for n, line in enumerate(lines, 1):
        line = line.removesuffix("\n").removesuffix("\r")
        if not options.labeled:
            yield Record(line, ())
        elif line:
            label, *text = SPACE_OR_TAB.split(line, maxsplit=1)
            if not text:
                raise UserError(f"{options.source} line {n}: no space or tab after the label")
            yield Record(text[0], options.labels(label, f"{options.source} line {n}"))


def _read_jsonl(lines: Iterator[str], options: _Options) -> Iterator[Record]:
    for n, line in enumerate(lines, 1):
        if line.strip():
            location = f"{options.source} line {n}"
            entry = _json_object(line, location)
            texts = [_json_text(entry, key, location) for key in options.text_columns]
            labels = _json_labels(entry, location, options) if options.labeled else ()
            yield Record(" ".join(texts), labels)


def _json_object(line: str, location: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{location} is not JSON: {error}") from error
    if not isinstance(entry, dict):
        raise UserError(f'{location} is not an object such as {{"text": "..."}}')
    return entry


def _json_value(entry: dict[str, Any], key: Any, location: str) -> Any:
    if key not in entry:
        raise UserError(f"{location} has no key {key!r}; it has: {format_names(entry)}")
    return entry[key]


def _json_text(entry: dict[str, Any], key: Any, location: str) -> str:
    text = _json_value(entry, key, location)
    if not isinstance(text, str):
        raise UserError(f"{location}: {key!r} is {text!r:.50}, expected a string")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{location}: {key!r} contains an unpaired surrogate") from error
    return text


def _json_labels(entry: dict[str, Any], location: str, options: _Options) -> tuple[str, ...]:
    value = _json_value(entry, options.label_column, location)
    is_list = isinstance(value, list)
    for label in value if is_list else [value]:
        if not isinstance(label, str | int):
            raise UserError(f"{location}: label {label!r:.50}, expected a string or an integer")
    if is_list:
        return tuple(map(str, value))
    return options.labels(str(value), location)


def _read_csv(lines: Iterator[str], options: _Options) -> Iterator[Record]:
    return _read_table(_csv_rows(lines, options.source), options)


def _csv_rows(lines: Iterable[str], source: str) -> Iterator[tuple[str, list[str]]]:
    csv.field_size_limit(RECORD_LIMIT)  # of the process
    row_lines = RowLines(lines)
    reader = csv.reader(row_lines, strict=True)
    for n in count(1):
        location = f"{source} row {n} (line {reader.line_num + 1})"
        row_lines.start_row(location)
        try:
            row = next(reader, None)
        except csv.Error as error:
            reason = CSV_ERRORS.get(str(error).partition(" - ")[0], str(error))
            raise UserError(f"{location}: {reason}") from error
        if row is None:
            return
        yield location, row or [""]


def _read_tsv(lines: Iterator[str], options: _Options) -> Iterator[Record]:
    rows = (line.removesuffix("\n").removesuffix("\r").split("\t") for line in lines)
    located = ((f"{options.source} line {n}", row) for n, row in enumerate(rows, 1))
    return _read_table(located, options)


def _read_table(rows: Iterator[tuple[str, list[str]]], options: _Options) -> Iterator[Record]:
    first = next(rows, None)
    if first is None and options.header:
        raise UserError(f"{options.source} is empty, expected a row of column names")
    if first is None:
        return
    names, width = first[1], len(first[1])
    texts = [_column(column, names, options) for column in options.text_columns]
    label = _column(options.label_column, names, options) if options.labeled else None
    for location, row in rows if options.header else chain([first], rows):
        if len(row) == width:
            labels = () if label is None else options.labels(row[label], location)
            yield Record(" ".join([row[i] for i in texts]), labels)
        elif row != [""]:  # a blank line is not a row
            raise UserError(f"{location}: {len(row)} fields, expected {width}")


def _column(column: str | int, names: list[str], options: _Options) -> int:
    """Return the index of a column, by its name in the header or else by its 1-based number."""
    if options.header and names.count(str(column)) > 1:
        raise UserError(f"{options.source} has more than one column {column!r}: give its number")
    if options.header and column in names:
        return names.index(str(column))
    number = int(column) if str(column).isdecimal() else 0
    if 1 <= number <= len(names):
        return number - 1
    if options.header:
        raise UserError(f"{options.source} has no column {column!r}; it has: {format_names(names)}")
    raise UserError(
        f"{options.source} has no column {column!r}: without a header give a number "
        f"from 1 to {len(names)}"
    )


LineReader = Callable[[Iterator[str], _Options], Iterator[Record]]
LINE_READERS = {"csv": _read_csv, "tsv": _read_tsv, "jsonl": _read_jsonl, "txt": _read_txt}
