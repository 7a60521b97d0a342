"""Parquet files, read in batches of rows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rnn_lab.errors import UserError
from rnn_lab.io.archives import read_errors_named
from rnn_lab.io.parquet_pages import page_sizes

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_ROWS = 1 << 16
BATCH_BYTES = 1 << 29  # of the texts of a batch, or of a page
CHUNK_VALUES = 1 << 22  # rows times columns at most, so that chunks of wide tables have fewer rows


def rows_per_chunk(columns: int) -> int:
    """Return how many rows of a table are read at once."""
    return max(1, min(CHUNK_ROWS, CHUNK_VALUES // max(1, columns)))


class ParquetReader:
    """Batches of the rows of a Parquet file.

    Args:
        path: The file.

    Attributes:
        columns: Names of the columns.

    Raises:
        UserError: Here and while reading, if the file cannot be read, is not a Parquet file or is
            damaged.
    """

    def __init__(self, path: Path) -> None:
        from pyarrow import parquet

        self.path = path
        with parquet_errors_named(path):
            open(path, "rb").close()  # its error says why, that of pyarrow names the file only
            # Prebuffering would read the whole file. Texts that repeat are read once.
            texts = _text_columns(parquet.read_schema(path))
            self._file = parquet.ParquetFile(path, pre_buffer=False, read_dictionary=texts)
            self.columns: list[str] = list(self._file.schema_arrow.names)
            self._check_pages()

    def _check_pages(self) -> None:
        """Check the size of each page, which is decompressed as a whole."""
        for size in page_sizes(self.path):
            if size > BATCH_BYTES:
                raise UserError(
                    f"{self.path} has a page of {size:,} bytes, at most {BATCH_BYTES:,} are "
                    "supported: write it with smaller pages"
                )

    def batches(self, columns: Sequence[str] | None = None) -> Iterator["pa.RecordBatch"]:
        """Yield the rows in batches; the file is closed at the end.

        Args:
            columns: Names of the columns to read; None reads all.
        """
        size = rows_per_chunk(len(self.columns if columns is None else columns))
        with self._file:
            with parquet_errors_named(self.path):
                batches = iter(self._file.iter_batches(size, columns=columns))
            while True:
                with parquet_errors_named(self.path):
                    batch = next(batches, None)
                    batch = None if batch is None else _with_plain_texts(batch, self.path)
                if batch is None:
                    return
                yield batch


def _text_columns(schema: "pa.Schema") -> list[str]:
    from pyarrow import types

    is_text = types.is_string, types.is_large_string
    return [field.name for field in schema if any(test(field.type) for test in is_text)]


def _with_plain_texts(batch: "pa.RecordBatch", path: Path) -> "pa.RecordBatch":
    """Replace texts that are stored as indices into distinct texts, after checking their size.

    A few bytes of a damaged file can stand for more text than fits into memory.
    """
    import pyarrow as pa
    from pyarrow import compute

    size, columns = 0, []
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            if column.dictionary.type in (pa.string(), pa.large_string()):
                lengths = compute.binary_length(column.dictionary)
                size += compute.sum(lengths.take(column.indices)).as_py() or 0
                if size > BATCH_BYTES:
                    raise UserError(f"{path} has more than {BATCH_BYTES:,} bytes of text at once")
            column = column.dictionary_decode()
        columns.append(column)
    fields = [
        field.with_type(column.type) for field, column in zip(batch.schema, columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields, batch.schema.metadata))


@contextmanager
def parquet_errors_named(path: Path) -> Iterator[None]:
    """Convert errors of reading a Parquet file into a `UserError` of one line that names it."""
    with read_errors_named(path):
        try:
            yield
        except UserError:
            raise
        except OSError as error:
            if error.filename is not None:
                raise
            raise _damaged(path, error) from error  # of pyarrow, about the content
        except Exception as error:  # decoding damaged bytes can raise any exception
            raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"{path} is not a Parquet file, or it is damaged: {reason:.200}")
