"""Rows of CSV, TSV and Parquet files as records."""

import csv
from collections.abc import Iterable, Iterator
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

from rnn_lab.errors import UserError
from rnn_lab.io.lines import RECORD_LIMIT, SAMPLE_LINES, RowLines
from rnn_lab.io.parquet import ParquetReader, parquet_errors_named
from rnn_lab.io.record_fields import Record, RecordOptions, record_of_object
from rnn_lab.io.separators import infer_separator

CSV_ERRORS = {
    "unexpected end of data": "a quote is not closed",
    "new-line character seen in unquoted field": "a carriage return outside quotes",
}
PLAIN_TYPES = (str, int, float, bool, type(None))
Rows = Iterator[tuple[str, list[str]]]


def read_csv(lines: Iterator[str], options: RecordOptions) -> Iterator[Record]:
    """Read the rows of a CSV file, whose separator is inferred if it is not given."""
    sample = list(islice(lines, 1 if options.header else SAMPLE_LINES))
    separator = options.separator or infer_separator(sample, _names(options))
    return _read_table(_csv_rows(chain(sample, lines), options.source, separator), options)


def _names(options: RecordOptions) -> list[str]:
    """Return the columns that a header must contain by name."""
    columns = [*options.text_columns, *([options.label_column] if options.labeled else [])]
    return [str(column) for column in columns if not str(column).isdecimal()]


def _csv_rows(lines: Iterable[str], source: str, separator: str) -> Rows:
    csv.field_size_limit(RECORD_LIMIT)  # of the process
    row_lines = RowLines(lines)
    reader = csv.reader(row_lines, strict=True, delimiter=separator)
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


def read_tsv(lines: Iterator[str], options: RecordOptions) -> Iterator[Record]:
    """Read the rows of a TSV file, in which quotes are literal."""
    rows = (line.removesuffix("\n").removesuffix("\r").split("\t") for line in lines)
    located = ((f"{options.source} line {n}", row) for n, row in enumerate(rows, 1))
    return _read_table(located, options)


def _read_table(rows: Rows, options: RecordOptions) -> Iterator[Record]:
    first = next(rows, None)
    if first is None and options.header:
        raise UserError(f"{options.source} is empty, expected a row of column names")
    if first is None:
        return
    names, width = first[1], len(first[1])
    texts = [_column(column, names, options) for column in options.text_columns]
    label = _column(options.label_column, names, options) if options.labeled else None
    others = [i for i in range(width) if i not in texts] if options.keep_columns else []
    for location, row in rows if options.header else chain([first], rows):
        if len(row) == width:
            labels = () if label is None else options.labels(row[label], location)
            columns = {names[i]: row[i] for i in others}
            yield Record(" ".join([row[i] for i in texts]), labels, columns)
        elif row != [""]:  # a blank line is not a row
            raise UserError(f"{location}: {len(row)} fields, expected {width}")


def _column(column: str | int, names: list[str], options: RecordOptions) -> int:
    """Return the index of a column, by its name in the header or else by its 1-based number."""
    if options.header and names.count(str(column)) > 1:
        raise UserError(f"{options.source} has more than one column {column!r}: give its number")
    if options.header and column in names:
        return names.index(str(column))
    number = int(column) if str(column).isdecimal() else 0
    if 1 <= number <= len(names):
        return number - 1
    if options.header:
        raise UserError(f"{options.source} {options.has_no('column', column, names)}")
    raise UserError(
        f"{options.source} has no column {column!r}: without a header give a number "
        f"from 1 to {len(names)}"
    )


def read_parquet(path: Path, options: RecordOptions) -> Iterator[Record]:
    """Read the rows of a Parquet file, whose texts are strings."""
    reader = ParquetReader(path)
    names = reader.columns
    columns = [*options.text_columns, *([options.label_column] if options.labeled else [])]
    selected = {column: names[_column(column, names, options)] for column in columns}
    required = names if options.keep_columns else list(dict.fromkeys(selected.values()))
    n = 0
    for batch in reader.batches(required):
        with parquet_errors_named(path):
            rows = batch.to_pylist()
        for row in rows:
            n += 1
            entry = {**row, **{column: row[name] for column, name in selected.items()}}
            record = record_of_object(entry, f"{path} row {n}", options)
            texts = {selected[column] for column in options.text_columns}
            others = {k: _plain(v) for k, v in row.items() if k not in texts}
            yield record._replace(columns=others if options.keep_columns else {})


def _plain(value: Any) -> Any:
    """Return a value as JSON can represent it; a time, for example, as a string."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if isinstance(value, PLAIN_TYPES) else str(value)
