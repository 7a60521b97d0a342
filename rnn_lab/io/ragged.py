"""Rows of different lengths in flat files with offsets, opened memory-mapped."""

from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ENCODED_AT_ONCE = 1024  # texts
WRITTEN_AT_ONCE = 1 << 20  # bytes


class Flat:
    """Writes rows of numbers or bytes end to end, with the offset of each; memory is bounded."""

    def __init__(self, folder: Path, name: str, typecode: str) -> None:
        self._values = open(folder / f"{name}.bin", "wb", WRITTEN_AT_ONCE)  # noqa: SIM115
        self._offsets = open(folder / f"{name}.offsets.bin", "wb", WRITTEN_AT_ONCE)  # noqa: SIM115
        self._typecode = typecode
        self._end = 0
        self._offsets.write(array("q", [0]).tobytes())

    def append(self, row: bytes | list[int]) -> None:
        """Add a row."""
        self._end += len(row)
        self._values.write(row if isinstance(row, bytes) else array(self._typecode, row).tobytes())
        self._offsets.write(self._end.to_bytes(8, "little"))

    def close(self) -> None:
        """Write what is left and let go of the files."""
        try:
            self._values.close()  # fails where the disk is full
        finally:
            self._offsets.close()


def open_memmap(path: Path, dtype: str) -> np.ndarray:
    """Map a file of numbers into memory, read-only."""
    if path.stat().st_size == 0:  # the system refuses to map an empty file
        return np.empty(0, dtype)
    return np.memmap(path, dtype, "r")


class Texts:
    """The texts that a `Flat` of bytes has written.

    Args:
        folder: The folder of the corpus.
        name: What they were written as.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}.bin"
        self._bytes = open_memmap(self._path, "u1")
        self._offsets = open_memmap(folder / f"{name}.offsets.bin", "<i8")

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, row: int) -> str:
        start, end = self._offsets[row : row + 2]
        return bytes(self._bytes[start:end]).decode()

    def read(self, rows: np.ndarray) -> Iterator[str]:
        """Read some rows, in ascending order, from the file: what was read takes no memory."""
        with open(self._path, "rb", WRITTEN_AT_ONCE) as file:
            for first in range(0, len(rows), ENCODED_AT_ONCE):
                some = rows[first : first + ENCODED_AT_ONCE]
                for start, end in zip(self._offsets[some], self._offsets[some + 1], strict=True):
                    file.seek(start)
                    yield file.read(end - start).decode()
