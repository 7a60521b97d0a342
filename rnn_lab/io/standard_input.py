"""Standard input, read by lines without waiting for more of them than necessary."""

import select
import sys
from collections import deque
from typing import BinaryIO
from weakref import WeakKeyDictionary

BLOCK_SIZE = 1 << 16  # bytes; at least the size of the buffer of `sys.stdin`
GRACE_SECONDS = 0.1  # to wait for a line before the lines that have arrived are processed


class StandardInput:
    """Lines of standard input, which can be asked whether the next one has arrived.

    Args:
        file: The buffer of `sys.stdin`, which is left open.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lines: deque[bytes] = deque()
        self._rest: list[bytes] = []  # of a line that has not arrived completely
        self._size = 0  # of the rest
        self._ended = False

    def readline(self, limit: int) -> bytes:
        """Return the next line; of a line above the limit in bytes at least as much, not all."""
        while not self._lines and not self._ended and self._size < limit:
            self._read_block()
        if self._lines:
            return self._lines.popleft()
        rest, self._rest, self._size = b"".join(self._rest), [], 0
        return rest

    def ready(self, seconds: float = GRACE_SECONDS) -> bool:
        """Return whether `readline` would return at once, or after waiting for some seconds."""
        while not self._lines and not self._ended:
            if not self._has_arrived(seconds):
                return False
            self._read_block()
        return True

    def _read_block(self) -> None:
        block = self._file.read1(BLOCK_SIZE)  # type: ignore[attr-defined]  # of buffered files
        self._ended = not block
        first, *others = block.split(b"\n")
        self._rest.append(first)
        self._size += len(first)
        if others:
            *complete, rest = others
            self._lines.append(b"".join(self._rest) + b"\n")
            self._lines.extend(line + b"\n" for line in complete)
            self._rest, self._size = [rest], len(rest)

    def _has_arrived(self, seconds: float) -> bool:
        try:
            descriptor = self._file.fileno()
        except (AttributeError, OSError):  # in memory
            return True
        return bool(select.select([descriptor], [], [], seconds)[0])


_opened: "WeakKeyDictionary[BinaryIO, StandardInput]" = WeakKeyDictionary()


def standard_input() -> StandardInput:
    """Return the reader of `sys.stdin`, the same one at each call."""
    file = sys.stdin.buffer
    if file not in _opened:
        _opened[file] = StandardInput(file)
    return _opened[file]
