"""Lines of files in bounded memory: their limits, their encoding, and standard input."""

import codecs
import io
from collections.abc import Iterable, Iterator
from itertools import count, islice
from typing import BinaryIO, Protocol

from rnn_lab.errors import UserError

LINE_LIMIT = 1 << 27  # bytes of a line of plain text, which takes up to four times as much decoded
SAMPLE_LINES = 20  # from which the format of a table is inferred
RECORD_LIMIT = 1 << 25  # bytes of a row, an object or a series, which takes up to 40 times as much
WIDE_ENCODINGS = {  # by byte order mark, longer marks first
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def format_names(names: Iterable[object], limit: int = 20) -> str:
    """Format names, such as those of columns, in one line for error messages."""
    shown = [" ".join(str(name).split())[:50] for name in islice(names, limit + 1)]
    return ", ".join([*shown[:limit], "..."] if len(shown) > limit else shown)


class LineSource(Protocol):
    """A file, or standard input."""

    def readline(self, limit: int, /) -> bytes:
        """Return the next line, or about as many bytes of it as the limit; empty at the end."""
        ...


def bounded_lines(file: LineSource, source: str, limit: int) -> Iterator[bytes]:
    """Yield the lines of a binary file, in which only a line feed ends a line.

    Args:
        file: The file.
        source: Name of the file in error messages.
        limit: Maximum bytes of a line; no more are read into memory.

    Raises:
        UserError: If a line is longer, or the file starts with the mark of UTF-16 or UTF-32.
    """
    for n in count(1):
        line = file.readline(limit + 1)
        if not line:
            return
        check_line(line, n, source, limit)
        yield line


def check_line(line: bytes, n: int, source: str, limit: int) -> None:
    """Check a line, of which at most one byte more than the limit was read.

    Args:
        line: The line.
        n: Its 1-based number.
        source: Name of the file in error messages.
        limit: Maximum bytes of a line.

    Raises:
        UserError: If it is longer, or is the first one and in UTF-16 or UTF-32.
    """
    if len(line) > limit:
        raise UserError(f"{source} line {n} has more than {limit:,} bytes: split it")
    if n == 1:
        check_encoding(line, source)


def check_encoding(start: bytes, source: str) -> None:
    """Check that a file does not start with the byte order mark of UTF-16 or UTF-32.

    Raises:
        UserError: If it does, as its bytes cannot be split into lines.
    """
    for mark, name in WIDE_ENCODINGS.items():
        if start.startswith(mark):
            raise UserError(
                f"{source} is {name}, which is not supported: convert it, for example by "
                f"`iconv -f {name} -t UTF-8`"
            )


class RowLines(Iterator[str]):
    """Lines that are read row by row, with a limit on the characters of a row.

    Args:
        lines: The lines; a row consists of one line or of several.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._location, self._size = "", 0

    def start_row(self, location: str) -> None:
        """Count the characters of the next row, which error messages locate."""
        self._location, self._size = location, 0

    def __next__(self) -> str:
        line = next(self._lines)
        self._size += len(line)
        if self._size > RECORD_LIMIT:
            raise UserError(
                f"{self._location} has more than {RECORD_LIMIT:,} characters: is a quote not "
                "closed?"
            )
        return line


class LimitedFile(io.RawIOBase):
    """Binary file whose lines have a limit, for parsers that read blocks.

    Args:
        file: The file.
        source: Name of the file in error messages.
        total: Maximum bytes between two calls of `restart`.

    Attributes:
        first_lines: The first lines, which are read at once and served as the first block.

    Raises:
        UserError: Here and while reading, if a limit is exceeded.
    """

    def __init__(self, file: BinaryIO, source: str, total: int) -> None:
        self.first_lines = list(islice(bounded_lines(file, source, RECORD_LIMIT), SAMPLE_LINES))
        self._file, self._source, self._total = file, source, total
        self._head = memoryview(b"".join(self.first_lines))
        self._line = self._count = self._newlines = 0

    def restart(self) -> None:
        """Start to count the bytes of the next rows."""
        self._count = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(  # type: ignore[override]  # Python passes memory views alone
        self, buffer: memoryview
    ) -> int:
        """Read a block."""
        block = self._head[: len(buffer)] or self._file.read(len(buffer))
        self._head = self._head[len(block) :] if self._head else self._head
        buffer[: len(block)] = block
        self._check(bytes(block))
        return len(block)

    def _check(self, block: bytes) -> None:
        end = block.rfind(b"\n") + 1
        self._newlines += block.count(b"\n")
        self._line = len(block) - end + (0 if end else self._line)
        self._count += len(block)
        n = self._newlines + 1
        if self._line > RECORD_LIMIT:
            raise UserError(f"{self._source} line {n} has more than {RECORD_LIMIT:,} bytes")
        if self._count > self._total:
            raise UserError(
                f"{self._source} has a row that does not end by line {n}: is a quote not closed?"
            )
