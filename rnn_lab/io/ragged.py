"""Ragged arrays: rows of different lengths in flat files with offsets, read memory-mapped."""

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

ENCODE_CHUNK_SIZE = 1024  # texts
BUFFER_SIZE = 1 << 20  # bytes


class RaggedArrayWriter:
    """Write rows of numbers or bytes end to end, with the offset of each, in bounded memory.

    Args:
        folder: Folder of the files.
        name: Name of the files: `name.bin` and `name.offsets.bin`.
        typecode: Type of the numbers, as in `array.array`.
    """

    def __init__(self, folder: Path, name: str, typecode: str) -> None:
        self._values = _create(folder / f"{name}.bin")
        self._offsets = _create(folder / f"{name}.offsets.bin")
        self._typecode = typecode
        self._end = 0
        self._offsets.write(array("q", [0]).tobytes())

    def append(self, row: bytes | list[int]) -> None:
        """Append a row."""
        self._end += len(row)
        self._values.write(row if isinstance(row, bytes) else array(self._typecode, row).tobytes())
        self._offsets.write(self._end.to_bytes(8, "little"))

    def close(self) -> None:
        """Flush and close both files."""
        try:
            self._values.close()  # fails if the disk is full
        finally:
            self._offsets.close()


def open_memmap(path: Path, dtype: str) -> np.ndarray:
    """Map a file of numbers into memory, read-only."""
    if path.stat().st_size == 0:  # an empty file cannot be mapped
        return np.empty(0, dtype)
    return np.memmap(path, dtype, "r")


class TextStore:
    """Texts that a `RaggedArrayWriter` has written as bytes.

    Args:
        folder: Folder of the files.
        name: Name under which they were written.
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
        """Read rows, in ascending order, from the file, without keeping them in memory."""
        with open(self._path, "rb", BUFFER_SIZE) as file:
            for first in range(0, len(rows), ENCODE_CHUNK_SIZE):
                chunk = rows[first : first + ENCODE_CHUNK_SIZE]
                for start, end in zip(self._offsets[chunk], self._offsets[chunk + 1], strict=True):
                    file.seek(start)
                    yield file.read(end - start).decode()


def _create(path: Path) -> BinaryIO:
    return open(path, "wb", BUFFER_SIZE)
