"""A Parquet table in order, of rows that several processes add in any order."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rnn_lab.io.atomic import atomic_path

BUFFERED_ROWS = 1 << 16  # that a process holds before it writes them
SORTED_ROWS = 1 << 18  # that are sorted in memory together
INDEX = "__index__"


class RowTable:
    """Write rows with bounded memory: first to parts in a hidden folder, then merged into a file.

    Each process adds its rows and calls `flush`; then one of them calls `merge`.

    Args:
        path: The Parquet file.
        rank: Number of this process.

    Attributes:
        rows: Rows that this process has added.
    """

    def __init__(self, path: Path, rank: int = 0) -> None:
        self.path = path
        self.folder = path.with_name(f".{path.name}.parts")
        self._rank, self._written, self._buffered, self.rows = rank, 0, 0, 0
        self._tables: list[pa.Table] = []

    def clear(self) -> None:
        """Remove parts of an earlier attempt; one process calls this before any adds rows."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, indices: np.ndarray, columns: Mapping[str, pa.Array]) -> None:
        """Add rows.

        Args:
            indices: Places of the rows in the table, `(rows,)` int64.
            columns: The same columns each time, a value for each row.
        """
        self._tables.append(pa.table({INDEX: pa.array(indices), **columns}))
        self._buffered += len(indices)
        self.rows += len(indices)
        if self._buffered >= BUFFERED_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are held in memory."""
        if not self._tables:
            return
        table = pa.concat_tables(self._tables)
        self._tables, self._buffered = [], 0
        buckets = table[INDEX].to_numpy() // SORTED_ROWS
        self.folder.mkdir(parents=True, exist_ok=True)
        for bucket in np.unique(buckets).tolist():
            part = table.filter(pa.array(buckets == bucket))
            pq.write_table(part, self.folder / f"{bucket}-{self._rank}-{self._written}.parquet")
        self._written += 1

    def merge(self) -> int:
        """Write the file from the parts of all processes, and remove them; no rows, no file.

        Returns:
            The number of rows in the file.
        """
        parts: dict[int, list[Path]] = {}
        for part in sorted(self.folder.glob("*.parquet")):
            parts.setdefault(int(part.name.partition("-")[0]), []).append(part)
        rows = 0
        if parts:
            with atomic_path(self.path) as temporary:
                rows = self._write(temporary, [paths for _, paths in sorted(parts.items())])
        self.clear()
        return rows

    def _write(self, path: Path, parts: list[list[Path]]) -> int:
        schema = pq.read_schema(parts[0][0])
        schema = schema.remove(schema.get_field_index(INDEX))
        rows = 0
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for paths in parts:
                table = pa.concat_tables([pq.read_table(each) for each in paths])
                writer.write_table(table.sort_by(INDEX).drop_columns(INDEX))
                rows += len(table)
        return rows
