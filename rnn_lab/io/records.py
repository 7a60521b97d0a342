"""Readers of text records: CSV, TSV, JSONL, Parquet, labeled lines, folders, archives."""

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path

from rnn_lab.errors import UserError
from rnn_lab.io.archives import MEMBER_LIMIT, check_size, members, open_bytes
from rnn_lab.io.lines import LINE_LIMIT, RECORD_LIMIT, bounded_lines, check_encoding
from rnn_lab.io.record_fields import Columns, Record, RecordOptions, record_of_json
from rnn_lab.io.record_tables import read_csv, read_parquet, read_tsv
from rnn_lab.io.separators import parse_separator
from rnn_lab.io.standard_input import standard_input

SPACE_OR_TAB = re.compile("[ \t]")
FORMATS = ("csv", "tsv", "jsonl", "parquet", "txt", "folder", "archive")
SPREADSHEETS = (".xlsx", ".xls", ".ods")
FORMAT_BY_SUFFIX = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".txt": "txt",
    ".tar": "archive",
    ".tgz": "archive",
    ".zip": "archive",
}


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
    separator: str | None = None,
    allow_unlabeled: bool = False,
    keep_columns: bool = False,
    column_hint: str = "",
) -> Iterator[Record]:
    r"""Read the records of a file, a folder or an archive lazily, in bounded memory.

    Only `\n` and `\r\n` end a line. A byte order mark is skipped.

    Args:
        path: File (optionally compressed as `.gz`), folder or archive; `-` is standard input,
            which must be unlabeled.
        format: `csv`; `tsv` (quotes are literal); `jsonl` (one object per line); `parquet`; `txt`
            (label, one space or tab, text; only the text if unlabeled); `folder` and `archive` (one
            file per text, whose folder is the label). Default: inferred from the name.
        text_column: Name or 1-based number (not in JSONL) of the text; the texts of several columns
            are joined by a space.
        label_column: Name or 1-based number of the label. Blanks around a label are ignored.
        encoding: Text encoding; a line feed must be the byte 0x0a in it.
        label_separator: Separator of several labels, for multi-label data.
        header: If True, the first row of CSV or TSV contains the column names.
        labeled: If False, labels are not read and are empty in every record.
        separator: Separator of the fields of CSV; None: inferred from the first row.
        allow_unlabeled: If True, the label of a row may be empty or missing.
        keep_columns: If True, records have the other columns of CSV, TSV, JSONL and Parquet files.
        column_hint: What the message on a missing column recommends.

    Returns:
        The records in the order of the file; for a folder, sorted by label, then by name.

    Raises:
        UserError: If the path or an option is invalid; while reading, if a record is malformed:
            the message states file, line or row, and reason.
    """
    format = infer_format(path, format)
    if str(path) == "-" and labeled:
        raise UserError("labeled records cannot be read from standard input: give a file")
    if str(path) != "-" and not Path(path).exists():
        raise UserError(f"{path} does not exist")
    encoding = _normalize_encoding(encoding)
    options = RecordOptions(
        str(path),
        text_column,
        label_column,
        encoding,
        label_separator,
        header,
        labeled,
        None if separator is None else parse_separator(separator),
        allow_unlabeled,
        keep_columns,
        column_hint,
    )
    if format == "parquet":
        return read_parquet(_parquet_path(path), options)
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
        RecordOptions(
            source, encoding=_normalize_encoding(encoding), label_separator=label_separator
        ),
    )


def infer_format(path: str | Path, format: str | None = None) -> str:
    """Return the format of a file, which is inferred from its name if it is None.

    Raises:
        UserError: If the format is unknown, or cannot be inferred.
    """
    if format is not None and format not in FORMATS:
        raise UserError(f"format {format!r} is unknown: give one of {', '.join(FORMATS)}")
    if format is not None or str(path) == "-":
        return format or "txt"
    if Path(path).is_dir():
        return "folder"
    suffix = Path(str(path).removesuffix(".gz")).suffix.lower()
    if suffix in SPREADSHEETS:
        raise UserError(f"{path} is a spreadsheet: save it as CSV in UTF-8, and give that file")
    if suffix not in FORMAT_BY_SUFFIX:
        raise UserError(f"cannot infer the format of {path}: give one of {', '.join(FORMATS)}")
    return FORMAT_BY_SUFFIX[suffix]


def _parquet_path(path: str | Path) -> Path:
    if str(path) == "-" or Path(path).suffix == ".gz":
        raise UserError(f"Parquet cannot be read from {path}: give an uncompressed file")
    return Path(path)


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


def _read_folder(folder: Path, options: RecordOptions) -> Iterator[Record]:
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


def _read_members(files: Iterable[tuple[str, bytes]], options: RecordOptions) -> Iterator[Record]:
    for name, content in files:
        folder, _, _ = name.rpartition("/")
        yield _record_of_file(f"{options.source}:{name}", folder.split("/")[-1], content, options)


def _record_of_file(source: str, folder: str, content: bytes, options: RecordOptions) -> Record:
    labels = options.labels(folder, source) if options.labeled else ()
    check_encoding(content, source)
    return Record(_decode(content, source, options.encoding), labels)


def _read_lines(
    path: str | Path, read: "LineReader", options: RecordOptions, limit: int
) -> Iterator[Record]:
    stdin = str(path) == "-"
    with nullcontext(standard_input()) if stdin else open_bytes(Path(path)) as file:
        lines = enumerate(bounded_lines(file, options.source, limit), 1)
        decoded = (_decode(line, options.source, options.encoding, n) for n, line in lines)
        yield from read(decoded, options)


def _read_txt(lines: Iterator[str], options: RecordOptions) -> Iterator[Record]:
    for n, line in enumerate(lines, 1):
        line = line.removesuffix("\n").removesuffix("\r")
        if not options.labeled:
            yield Record(line, ())
        elif line:
            label, *text = SPACE_OR_TAB.split(line, maxsplit=1)
            if not text:
                raise UserError(f"{options.source} line {n}: no space or tab after the label")
            yield Record(text[0], options.labels(label, f"{options.source} line {n}"))


def _read_jsonl(lines: Iterator[str], options: RecordOptions) -> Iterator[Record]:
    for n, line in enumerate(lines, 1):
        if line.strip():
            yield record_of_json(line, f"{options.source} line {n}", options)


LineReader = Callable[[Iterator[str], RecordOptions], Iterator[Record]]
LINE_READERS = {"csv": read_csv, "tsv": read_tsv, "jsonl": _read_jsonl, "txt": _read_txt}
