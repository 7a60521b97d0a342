"""Tables in chunks: CSV, TSV and Parquet as frames, and what their columns hold."""

import warnings
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rnn_lab.errors import UserError
from rnn_lab.io.archives import damage_named, open_bytes

if TYPE_CHECKING:
    import pandas as pd


ROWS_AT_ONCE = 1 << 16
SEPARATORS = {".csv": ",", ".txt": ",", ".tsv": "\t"}


class Chunk(NamedTuple):
    """Some rows of a table.

    Attributes:
        frame: The rows, `(rows, columns)`.
        source: What error messages call the table.
        first: Number of the first row in the table, from 1.
    """

    frame: "pd.DataFrame"
    source: str
    first: int

    def where(self, row: int) -> str:
        """Name a row of the chunk in an error message."""
        return f"{self.source} row {self.first + row}"


def read_frames(path: Path, names: list[str] | None = None) -> Generator[Chunk, None, None]:
    """Read a table chunk by chunk; memory stays bounded.

    Args:
        path: File ending in `.csv`, `.tsv`, `.txt` (each also as `.gz`) or `.parquet`.
        names: The columns, where the first row does not name them.

    Raises:
        UserError: If the file is missing, damaged, empty, not UTF-8, or not such a table.
    """
    ending = Path(str(path).removesuffix(".gz")).suffix.lower()
    if ending != ".parquet" and ending not in SEPARATORS:
        raise UserError(f"{path} does not tell its format: give .csv, .tsv or .parquet")
    if not path.is_file():
        raise UserError(f"{path} does not exist" if not path.exists() else f"{path} is no file")
    parquet = ending == ".parquet"
    first = 1
    for frame in _parquet(path) if parquet else _delimited(path, SEPARATORS[ending], names):
        if len(frame):
            yield Chunk(frame, str(path), first)
            first += len(frame)
    if first == 1:
        raise UserError(f"{path} is empty, wanted rows of numbers")


def _delimited(path: Path, separator: str, names: list[str] | None) -> Iterator["pd.DataFrame"]:
    import pandas as pd

    with open_bytes(path) as file, warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # it would drop fields
        try:
            yield from pd.read_csv(
                file,
                sep=separator,
                names=names,
                header=None if names else 0,
                index_col=False,
                chunksize=ROWS_AT_ONCE,
                low_memory=False,  # one type for each column of a chunk
            )
        except pd.errors.EmptyDataError:
            return
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path} is not utf-8 (byte 0x{error.object[error.start]:02x})"
            ) from error
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            reason = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
            raise UserError(f"{path} is no table: {reason}") from error


def _parquet(path: Path) -> Iterator["pd.DataFrame"]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        # What is buffered beforehand is the whole file.
        with damage_named(path), parquet.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(ROWS_AT_ONCE):
                yield batch.to_pandas()
    except pa.ArrowInvalid as error:
        raise UserError(f"{path} is no Parquet file, or a damaged one: {error}") from error


def chunks_of(frame: "pd.DataFrame", source: str = "the frame") -> Iterator[Chunk]:
    """Take a frame as a table of one chunk.

    Raises:
        UserError: If it has no rows.
    """
    if len(frame) == 0:
        raise UserError(f"{source} is empty, wanted rows of numbers")
    yield Chunk(frame, source, 1)


def check_columns(chunk: Chunk, wanted: list[str]) -> None:
    """Refuse a table that lacks a column.

    Raises:
        UserError: Naming the first one that is missing and those there are.
    """
    for column in wanted:
        if column not in chunk.frame.columns:
            there = ", ".join(map(str, chunk.frame.columns))
            raise UserError(f"{chunk.source} has no column {column!r}; it has: {there}")


def is_text(values: "pd.Series[Any]") -> bool:
    """Whether a column holds anything but numbers."""
    from pandas.api import types

    return not types.is_numeric_dtype(values.dtype) and bool(values.notna().any())


def is_words(values: "pd.Series[Any]") -> bool:
    """Whether no value of a column is a number: it is another thing, not a number misspelt."""
    return is_text(values) and not _converted(values).notna().any()


def _converted(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Read numbers that are written as text; missing where it is none."""
    import pandas as pd

    return pd.to_numeric(values.astype("string"), errors="coerce")


def numbers(chunk: Chunk, column: str, everywhere: bool = False) -> np.ndarray:
    """Read a column of numbers, `(rows,)` float32, NaN where there is none.

    Args:
        chunk: The rows.
        column: Name of the column.
        everywhere: Whether none may be missing.

    Raises:
        UserError: If a value is text or not finite, naming its row.
    """
    values = chunk.frame[column]
    if is_text(values):
        read = _converted(values)
        for bad in np.flatnonzero((read.isna() & values.notna()).to_numpy())[:1]:
            found = f"column {column!r} holds {str(values.iloc[bad])!r:.50}"
            raise UserError(f"{chunk.where(bad)}: {found}, wanted a number")
        values = read
    with np.errstate(over="ignore"):
        array = values.to_numpy(np.float64, na_value=np.nan).astype(np.float32)
    for bad in np.flatnonzero(np.isinf(array))[:1]:
        raise UserError(
            f"{chunk.where(bad)}: column {column!r} is {values.iloc[bad]}, wanted a finite number "
            "(leave the field empty where nothing was observed)"
        )
    for bad in np.flatnonzero(np.isnan(array))[:1] if everywhere else []:
        raise UserError(f"{chunk.where(bad)}: column {column!r} is missing, wanted a number")
    return array


def words(chunk: Chunk, column: str) -> np.ndarray:
    """Read a column of text, `(rows,)` objects.

    Raises:
        UserError: If a value is missing.
    """
    values = chunk.frame[column]
    bad = np.flatnonzero(values.isna().to_numpy())
    if len(bad):
        raise UserError(f"{chunk.where(bad[0])}: column {column!r} is missing, wanted a value")
    return values.astype(str).to_numpy(object)


def times(chunk: Chunk, column: str) -> tuple[np.ndarray, bool]:
    """Read a column of times.

    Returns:
        Times `(rows,)` int64, of timestamps the nanoseconds since 1970, UTC where they tell their
        zone; and whether they are plain numbers.

    Raises:
        UserError: If a value is no time, naming its row.
    """
    from pandas.api import types

    values = chunk.frame[column]
    bad = np.flatnonzero(values.isna().to_numpy())
    if len(bad):
        raise UserError(f"{chunk.where(bad[0])}: the time in {column!r} is missing")
    if types.is_integer_dtype(values.dtype):
        return values.to_numpy(np.int64), True
    moments = _moments(values)
    bad = np.flatnonzero(moments.isna().to_numpy())
    if len(bad):
        raise UserError(
            f"{chunk.where(bad[0])}: the time {str(values.iloc[bad[0]])!r:.50} in {column!r} "
            "cannot be read, wanted one such as 2024-01-31 or 2024-01-31 23:00 (or an integer)"
        )
    return moments.to_numpy("datetime64[ns]").astype(np.int64), False


def _moments(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Read timestamps, all of the form of the first one; missing where one is none."""
    import pandas as pd
    from pandas.api import types

    if types.is_datetime64_any_dtype(values.dtype):
        zoned = getattr(values.dt, "tz", None) is not None
        return values.dt.tz_convert("UTC").dt.tz_localize(None) if zoned else values
    if types.is_float_dtype(values.dtype) or types.is_bool_dtype(values.dtype):
        return pd.Series(pd.NaT, index=values.index)
    text = values.astype(str)
    read = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
    if read.isna().iloc[0]:
        form = pd.tseries.api.guess_datetime_format(text.iloc[0])
        if form is not None:
            read = pd.to_datetime(text, format=form, errors="coerce", utc=True)
    bounds = pd.Timestamp.min.tz_localize("UTC"), pd.Timestamp.max.tz_localize("UTC")
    return read.where(read.between(*bounds)).dt.tz_localize(None)
