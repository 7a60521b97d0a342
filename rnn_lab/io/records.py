"""Records of text files, read one by one: CSV, TSV, JSONL, labeled lines, folders, archives."""

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
from rnn_lab.io.archives import members, open_bytes

Columns = str | int | Sequence[str | int]
FIELD_LIMIT = 1 << 26  # characters of a CSV field: an unclosed quote must not read the whole file
SPACE_OR_TAB = re.compile("[ \t]")
FORMATS = ("csv", "tsv", "jsonl", "txt", "folder", "archive")
ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".json": "jsonl",
    ".txt": "txt",
    ".tar": "archive",
    ".tgz": "archive",
    ".zip": "archive",
}
CSV_REASONS = {
    "unexpected end of data": "a quote is not closed",
    "new-line character seen in unquoted field": "a carriage return outside quotes",
}


class Record(NamedTuple):
    """A text with its labels: one as a rule, any number in multi-label data, none if unlabeled."""

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
    r"""Read the records of a file, a folder or an archive lazily; memory stays bounded.

    Lines end with `\n` or `\r\n` and with nothing else. A byte order mark is skipped.

    Args:
        path: What to read, each also as `.gz`; `-` is standard input, unlabeled.
        format: `csv`; `tsv` (quotes mean themselves); `jsonl` (an object a line); `txt` (label,
            one space or tab, text; the text alone if unlabeled); `folder` and `archive` (one
            file a text, its folder is the label). By default told from the name.
        text_column: Name (CSV, TSV, JSONL) or number, from 1 (CSV, TSV), of the text; of several
            the texts are joined by a space.
        label_column: Name or number of the label.
        encoding: Of the text; one in which a line feed is the byte 0x0a.
        label_separator: Splits a label into several, for multi-label data.
        header: Whether the first row of CSV or TSV names the columns.
        labeled: Whether to read labels; where not, those of a record are empty.

    Returns:
        The records in the order of the file; of a folder by label, then by name.

    Raises:
        UserError: If the path or an option is wrong; while reading, if a record is malformed:
            the message names file, line or row, and reason.
    """
    kind = _format(path, format)
    if str(path) == "-" and labeled:
        raise UserError("records from standard input have no labels: give a file")
    if str(path) != "-" and not Path(path).exists():
        raise UserError(f"{path} does not exist")
    codec = _codec(encoding)
    options = _Options(
        str(path), text_column, label_column, codec, label_separator, header, labeled
    )
    if kind == "folder":
        return _read_folder(Path(path), options)
    if kind == "archive":
        return _read_members(members(Path(path), "*.txt"), options)
    return _read_lines(path, LINE_READERS[kind], options)


def read_members(
    files: Iterable[tuple[str, bytes]],
    *,
    source: str = "archive",
    encoding: str = "utf-8",
    label_separator: str | None = None,
) -> Iterator[Record]:
    """Read one record from each member of an archive; its folder is the label.

    Args:
        files: Names and contents, as `sources.members` gives them.
        source: What error messages call the archive.
        encoding: Of the text.
        label_separator: Splits a label into several.
    """
    return _read_members(
        files, _Options(source, encoding=_codec(encoding), label_separator=label_separator)
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
        one = isinstance(self.text_column, str | int)
        return cast(Any, (self.text_column,) if one else self.text_column)

    def labels(self, field: str, where: str) -> tuple[str, ...]:
        """Split a label field; only multi-label data may leave it empty."""
        if self.label_separator is not None:
            parts = (part.strip() for part in field.split(self.label_separator))
            return tuple(part for part in parts if part)
        if not field.strip():
            raise UserError(f"{where}: the label is empty")
        return (field,)


def _format(path: str | Path, format: str | None) -> str:
    if format is not None and format not in FORMATS:
        raise UserError(f"format {format!r} is unknown: give one of {', '.join(FORMATS)}")
    if format is not None or str(path) == "-":
        return format or "txt"
    if Path(path).is_dir():
        return "folder"
    ending = Path(str(path).removesuffix(".gz")).suffix.lower()
    if ending not in ENDINGS:
        raise UserError(f"{path} does not tell its format: give one of {', '.join(FORMATS)}")
    return ENDINGS[ending]


def _codec(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        line_feed = "\n".encode(name)
    except LookupError as error:
        raise UserError(f"encoding {encoding!r} is unknown: give utf-8, cp1252, ...") from error
    if line_feed not in (b"\n", codecs.BOM_UTF8 + b"\n"):
        raise UserError(f"encoding {encoding!r} cannot be read by lines: convert to utf-8")
    return "utf-8" if name == "utf-8-sig" else name


def _decoded(data: bytes, source: str, encoding: str, first_line: int = 1) -> str:
    """Decode whole lines; the byte order mark of the first one is no text."""
    if first_line == 1 and encoding == "utf-8":
        data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = first_line + data.count(b"\n", 0, error.start)
        other = "cp1252" if encoding == "utf-8" else "latin-1"
        raise UserError(
            f"{source} is not {encoding} at line {line} (byte 0x{data[error.start]:02x}): "
            f"give its encoding (--data.encoding, in predict --encoding), such as {other}"
        ) from error


def _read_folder(folder: Path, options: _Options) -> Iterator[Record]:
    """Read `<folder>/<label>/*.txt`, or `<folder>/*.txt` where no labels are read."""
    level = "*/" if options.labeled else ""
    files = sorted([*folder.glob(f"{level}*.txt"), *folder.glob(f"{level}*.txt.gz")])
    if not files:
        raise UserError(f"{folder} holds no file {level.replace('*', '<label>')}*.txt")
    for path in files:
        with open_bytes(path) as file:
            yield _whole_file(str(path), path.parent.name, file.read(), options)


def _read_members(files: Iterable[tuple[str, bytes]], options: _Options) -> Iterator[Record]:
    for name, content in files:
        folder, _, _ = name.rpartition("/")
        yield _whole_file(f"{options.source}:{name}", folder.split("/")[-1], content, options)


def _whole_file(source: str, folder: str, content: bytes, options: _Options) -> Record:
    labels = options.labels(folder, source) if options.labeled else ()
    return Record(_decoded(content, source, options.encoding), labels)


def _read_lines(path: str | Path, read: "LineReader", options: _Options) -> Iterator[Record]:
    stdin = nullcontext(sys.stdin.buffer)  # not ours to close
    with stdin if str(path) == "-" else open_bytes(Path(path)) as file:
        lines = enumerate(file, 1)  # binary lines end with a line feed only
        decoded = (_decoded(line, options.source, options.encoding, n) for n, line in lines)
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
            where = f"{options.source} line {n}"
            entry = _json_object(line, where)
            texts = [_json_text(entry, key, where) for key in options.text_columns]
            labels = _json_labels(entry, where, options) if options.labeled else ()
            yield Record(" ".join(texts), labels)


def _json_object(line: str, where: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not JSON: {error}") from error
    if not isinstance(entry, dict):
        raise UserError(f'{where} is not an object such as {{"text": "..."}}')
    return entry


def _json_value(entry: dict[str, Any], key: Any, where: str) -> Any:
    if key not in entry:
        raise UserError(f"{where} has no key {key!r}; it has: {', '.join(entry)}")
    return entry[key]


def _json_text(entry: dict[str, Any], key: Any, where: str) -> str:
    text = _json_value(entry, key, where)
    if not isinstance(text, str):
        raise UserError(f"{where}: {key!r} is {text!r:.50}, wanted a string")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: {key!r} holds half a character") from error
    return text


def _json_labels(entry: dict[str, Any], where: str, options: _Options) -> tuple[str, ...]:
    value = _json_value(entry, options.label_column, where)
    several = isinstance(value, list)
    for label in value if several else [value]:
        if not isinstance(label, str | int):
            raise UserError(f"{where}: label {label!r:.50}, wanted a string or an integer")
    if several:
        return tuple(map(str, value))
    return options.labels(str(value), where)


def _read_csv(lines: Iterator[str], options: _Options) -> Iterator[Record]:
    csv.field_size_limit(max(csv.field_size_limit(), FIELD_LIMIT))
    return _read_table(_csv_rows(csv.reader(lines, strict=True), options.source), options)


def _csv_rows(reader: Any, source: str) -> Iterator[tuple[str, list[str]]]:
    for n in count(1):
        where = f"{source} row {n} (line {reader.line_num + 1})"
        try:
            row = next(reader, None)
        except csv.Error as error:
            reason = CSV_REASONS.get(str(error).partition(" - ")[0], str(error))
            raise UserError(f"{where}: {reason}") from error
        if row is None:
            return
        yield where, row or [""]


def _read_tsv(lines: Iterator[str], options: _Options) -> Iterator[Record]:
    rows = (line.removesuffix("\n").removesuffix("\r").split("\t") for line in lines)
    named = ((f"{options.source} line {n}", row) for n, row in enumerate(rows, 1))
    return _read_table(named, options)


def _read_table(rows: Iterator[tuple[str, list[str]]], options: _Options) -> Iterator[Record]:
    first = next(rows, None)
    if first is None and options.header:
        raise UserError(f"{options.source} is empty, wanted a row of column names")
    if first is None:
        return
    names, width = first[1], len(first[1])
    texts = [_column(column, names, options) for column in options.text_columns]
    label = _column(options.label_column, names, options) if options.labeled else None
    for where, row in rows if options.header else chain([first], rows):
        if len(row) == width:
            labels = () if label is None else options.labels(row[label], where)
            yield Record(" ".join([row[i] for i in texts]), labels)
        elif row != [""]:  # a blank line is no row
            raise UserError(f"{where}: {len(row)} fields, wanted {width}")


def _column(column: str | int, names: list[str], options: _Options) -> int:
    """Find a column by its name in the header, else by its number from 1."""
    if options.header and names.count(str(column)) > 1:
        raise UserError(f"{options.source} has more than one column {column!r}: give its number")
    if options.header and column in names:
        return names.index(str(column))
    number = int(column) if str(column).isdecimal() else 0
    if 1 <= number <= len(names):
        return number - 1
    if options.header:
        raise UserError(f"{options.source} has no column {column!r}; it has: {', '.join(names)}")
    raise UserError(
        f"{options.source} has no column {column!r}: without a header give 1 to {len(names)}"
    )


LineReader = Callable[[Iterator[str], _Options], Iterator[Record]]
LINE_READERS = {"csv": _read_csv, "tsv": _read_tsv, "jsonl": _read_jsonl, "txt": _read_txt}
