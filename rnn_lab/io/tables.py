"""Tables read in chunks: CSV, TSV and Parquet as data frames, with typed access to columns."""

import warnings
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

import numpy as np

from rnn_lab.errors import UserError
from rnn_lab.io.archives import open_bytes
from rnn_lab.io.dates import parse_timestamps
from rnn_lab.io.lines import LimitedFile, format_names
from rnn_lab.io.numerals import is_numeral, misfit
from rnn_lab.io.parquet import ParquetReader, parquet_errors_named, rows_per_chunk
from rnn_lab.io.separators import infer_decimal, infer_separator, parse_separator

if TYPE_CHECKING:
    import pandas as pd


CHUNK_BYTES = 1 << 30  # of the text of a chunk
MAX_COLUMNS = 100_000
SEPARATORS = {"csv": None, "tsv": "\t", "txt": None}  # by format; None: inferred
FORMATS = (*SEPARATORS, "parquet")


class Chunk(NamedTuple):
    """Consecutive rows of a table.

    Attributes:
        frame: The rows, `(rows, columns)`.
        source: Name of the table in error messages.
        first_row: 1-based number of the first row in the table.
    """

    frame: "pd.DataFrame"
    source: str
    first_row: int

    def where(self, row: int) -> str:
        """Return the location of a row of the chunk, for error messages."""
        return f"{self.source} row {self.first_row + row}"


def read_frames(
    path: Path,
    names: list[str] | None = None,
    separator: str | None = None,
    format: str | None = None,
    format_hint: str = "",
) -> Generator[Chunk, None, None]:
    """Read a table chunk by chunk, in bounded memory.

    The decimal mark of a table with another separator than a comma may be a comma.

    Args:
        path: File ending in `.csv`, `.tsv`, `.txt` (optionally with `.gz`) or `.parquet`, unless
            `format` is given.
        names: Column names, if the first row does not contain them; fields are separated by commas.
        separator: Separator of the fields; None: a tab in `tsv`, else inferred from the first row.
        format: `csv`, `tsv`, `txt` or `parquet`; None infers it from the name.
        format_hint: What to set if the format cannot be inferred, for the error message.

    Raises:
        UserError: If the file is missing, damaged, empty, not UTF-8, or not a table of that format;
            if the format is unknown, or cannot be inferred.
    """
    format = _check_format(format) if format else _infer_format(path, format_hint)
    if not path.is_file():
        raise UserError(f"{path} does not exist" if not path.exists() else f"{path} is not a file")
    if format == "parquet":
        yield from _chunks(_parquet(path), str(path))
        return
    with open_bytes(path) as file:
        yield from read_delimited(file, str(path), names, separator, format)


def _check_format(format: str) -> str:
    if format not in FORMATS:
        raise UserError(f"format {format!r} is unknown: give one of {', '.join(FORMATS)}")
    return format


def _infer_format(path: Path, hint: str) -> str:
    format = Path(str(path).removesuffix(".gz")).suffix.lower().removeprefix(".")
    if format not in FORMATS:
        hint = hint and f", or {hint}"
        raise UserError(f"cannot infer the format of {path}: expected .csv, .tsv or .parquet{hint}")
    return format


def read_delimited(
    opened: BinaryIO,
    source: str,
    names: list[str] | None = None,
    separator: str | None = None,
    format: str = "csv",
) -> Iterator[Chunk]:
    """Read an open table of separated fields, such as standard input, see `read_frames`.

    Args:
        opened: The table, encoded in UTF-8.
        source: Name of the table in error messages.
        names: Column names, if the first row does not contain them.
        separator: Separator of the fields; None: a tab in `tsv`, else inferred from the first row.
        format: `csv`, `tsv` or `txt`.

    Raises:
        UserError: If the format is not one of these; while reading, if the table is damaged.
    """
    if _check_format(format) == "parquet":
        raise UserError(f"Parquet cannot be read from {source}: give a file")
    if separator is None:
        separator = "," if names else SEPARATORS[format]
    yield from _chunks(_delimited(opened, source, separator, names), source)


def _chunks(frames: Iterator["pd.DataFrame"], source: str) -> Iterator[Chunk]:
    row = 1
    for frame in frames:
        if len(frame):
            yield Chunk(frame, source, row)
            row += len(frame)
    if row == 1:
        raise UserError(f"{source} is empty, expected rows of numbers")


def _delimited(
    opened: BinaryIO, source: str, separator: str | None, names: list[str] | None
) -> Iterator["pd.DataFrame"]:
    import pandas as pd

    with warnings.catch_warnings():
        file = LimitedFile(opened, source, CHUNK_BYTES)
        sample = [line.decode("utf-8-sig", "replace") for line in file.first_lines]
        separator = parse_separator(separator) if separator else infer_separator(sample[:1])
        columns = 1 + sum(line.count(separator) for line in sample[:1])
        _check_columns(source, columns)
        warnings.simplefilter("error", pd.errors.ParserWarning)  # else fields would be dropped
        try:
            for frame in pd.read_csv(
                cast(BinaryIO, file),
                sep=separator,
                decimal=infer_decimal(sample, separator),
                names=names,
                header=None if names else 0,
                index_col=False,
                chunksize=rows_per_chunk(columns),
                low_memory=False,  # infer one type per column of a chunk
            ):
                file.restart()
                yield frame
        except pd.errors.EmptyDataError:
            return
        except UnicodeDecodeError as error:
            raise UserError(
                f"{source} is not utf-8 (byte 0x{error.object[error.start]:02x})"
            ) from error
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            reason = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
            raise UserError(f"{source} is not a table: {reason}") from error


def _check_columns(source: str, columns: int) -> None:
    if columns > MAX_COLUMNS:
        raise UserError(
            f"{source} has {columns:,} columns, at most {MAX_COLUMNS:,} are supported: arrange "
            "many series in long format, with a column that names the series"
        )


def _parquet(path: Path) -> Iterator["pd.DataFrame"]:
    reader = ParquetReader(path)
    _check_columns(str(path), len(reader.columns))
    for batch in reader.batches():
        with parquet_errors_named(path):
            frame = batch.to_pandas()
        for column in frame.columns[frame.columns.duplicated()]:
            raise UserError(f"{path} has more than one column {column!r}: rename it")
        yield frame


def as_chunks(frame: "pd.DataFrame", source: str = "the frame") -> Iterator[Chunk]:
    """Yield a data frame as a single chunk.

    Raises:
        UserError: If the frame has no rows.
    """
    if len(frame) == 0:
        raise UserError(f"{source} is empty, expected rows of numbers")
    yield Chunk(frame, source, 1)


def check_columns(chunk: Chunk, required: list[str]) -> None:
    """Check that a table has the required columns.

    Raises:
        UserError: If a column is missing; the message lists the existing ones.
    """
    for column in required:
        if column not in chunk.frame.columns:
            existing = format_names(chunk.frame.columns)
            raise UserError(f"{chunk.source} has no column {column!r}; it has: {existing}")


def is_text(values: "pd.Series[Any]") -> bool:
    """Return whether a column contains anything but numbers."""
    from pandas.api import types

    return not types.is_numeric_dtype(values.dtype) and bool(values.notna().any())


def is_categorical(values: "pd.Series[Any]") -> bool:
    """Return whether no value of a text column is a number, so it is not numbers with typos."""
    if not is_text(values) or _to_numeric(values).notna().any():
        return False
    return not any(is_numeral(str(value)) for value in values.dropna().unique())


def categorical_columns(chunk: Chunk) -> list[str]:
    """Return the names of the categorical columns, see `is_categorical`."""
    from pandas.api import types

    columns = zip(chunk.frame.columns, chunk.frame.dtypes, strict=True)
    text = [column for column, dtype in columns if not types.is_numeric_dtype(dtype)]
    return [str(column) for column in text if is_categorical(chunk.frame[column])]


def _to_numeric(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Parse numbers from text; values that are not numbers become missing."""
    import pandas as pd

    return pd.to_numeric(values.astype("string"), errors="coerce")


def read_numbers(chunk: Chunk, column: str, required: bool = False) -> np.ndarray:
    """Return a column of numbers, `(rows,)` float32, NaN if missing.

    Args:
        chunk: The rows.
        column: Name of the column.
        required: If True, no value may be missing.

    Raises:
        UserError: If a value is text, not finite, or missing though required.
    """
    values = chunk.frame[column]
    if is_text(values):
        parsed = _to_numeric(values)
        if (parsed.isna() & values.notna()).any():
            present = np.flatnonzero(values.notna().to_numpy())
            index, expected = misfit([str(value) for value in values.iloc[present]])
            bad = int(present[index])
            value = f"column {column!r} contains {str(values.iloc[bad])!r:.50}"
            raise UserError(f"{chunk.where(bad)}: {value}, expected {expected}")
        values = parsed
    with np.errstate(over="ignore"):
        array = values.to_numpy(np.float64, na_value=np.nan).astype(np.float32)
    for bad in np.flatnonzero(np.isinf(array))[:1]:
        raise UserError(
            f"{chunk.where(bad)}: column {column!r} is {values.iloc[bad]}, expected a finite "
            "number (leave the field empty if the value is missing)"
        )
    for bad in np.flatnonzero(np.isnan(array))[:1] if required else []:
        raise UserError(f"{chunk.where(bad)}: column {column!r} is missing, expected a number")
    return array


def read_number_columns(chunk: Chunk, columns: list[str]) -> np.ndarray:
    """Return columns of numbers, `(rows, columns)` float32, NaN if missing.

    Raises:
        UserError: If a value is text or not finite.
    """
    selected = chunk.frame[columns]
    if all(isinstance(dtype, np.dtype) and dtype.kind in "biuf" for dtype in selected.dtypes):
        with np.errstate(over="ignore"):
            array = selected.to_numpy(np.float64).astype(np.float32)
        if not np.isinf(array).any():
            return array
    return np.stack([read_numbers(chunk, column) for column in columns], 1)


def read_strings(chunk: Chunk, column: str) -> np.ndarray:
    """Return a column of text, `(rows,)` objects.

    Raises:
        UserError: If a value is missing.
    """
    values = chunk.frame[column]
    bad = np.flatnonzero(values.isna().to_numpy())
    if len(bad):
        raise UserError(f"{chunk.where(bad[0])}: column {column!r} is missing, expected a value")
    return values.astype(str).to_numpy(object)


def read_times(chunk: Chunk, column: str) -> tuple[np.ndarray, bool]:
    """Return a column of times.

    Returns:
        Times `(rows,)` int64, for timestamps in nanoseconds since 1970 (UTC if they have a time
        zone); and whether they are plain integers.

    Raises:
        UserError: If a value is missing or not a time.
    """
    from pandas.api import types

    values = chunk.frame[column]
    bad = np.flatnonzero(values.isna().to_numpy())
    if len(bad):
        raise UserError(f"{chunk.where(bad[0])}: the time in {column!r} is missing")
    if types.is_integer_dtype(values.dtype):
        return values.to_numpy(np.int64), True
    timestamps = parse_timestamps(values)
    bad = np.flatnonzero(timestamps.isna().to_numpy())
    if len(bad):
        raise UserError(
            f"{chunk.where(bad[0])}: the time {str(values.iloc[bad[0]])!r:.50} in {column!r} "
            "cannot be parsed, expected one such as 2024-01-31 or 2024-01-31 23:00 (or an integer)"
        )
    return timestamps.to_numpy("datetime64[ns]").astype(np.int64), False


def starts_with_timestamp(chunk: Chunk, column: str) -> bool:
    """Return whether the first value of a column, missing ones aside, is a timestamp."""
    first = chunk.frame[column].dropna()[:1]
    is_number = first.dtype.kind in "biufc"
    return len(first) > 0 and not is_number and not bool(parse_timestamps(first).isna().any())
