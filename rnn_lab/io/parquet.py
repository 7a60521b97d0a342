"""Parquet files, read in batches of rows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rnn_lab.errors import UserError
from rnn_lab.io.archives import read_errors_named

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_ROWS = 1 << 16
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
            # Prebuffering would read the whole file.
            self._file = parquet.ParquetFile(path, pre_buffer=False)
            self.columns: list[str] = list(self._file.schema_arrow.names)

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
                if batch is None:
                    return
                yield batch


@contextmanager
def parquet_errors_named(path: Path) -> Iterator[None]:
    """Convert errors of reading a Parquet file into a `UserError` of one line that names it."""
    with read_errors_named(path):
        try:
            yield
        except OSError as error:
            if error.filename is not None:
                raise
            raise _damaged(path, error) from error  # of pyarrow, about the content
        except Exception as error:  # decoding damaged bytes can raise any exception
            raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"{path} is not a Parquet file, or it is damaged: {reason:.200}")
