"""A line that shows what takes long, on a terminal only. Only the standard library is imported."""

import io
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import TextIO

DELAY = 1.0  # seconds until the line appears, so that short work shows nothing
INTERVAL = 0.5  # seconds between two updates


@contextmanager
def waiting(description: str) -> Iterator[None]:
    """Show a description and the elapsed seconds until the block ends.

    They are written to standard error if it is a terminal, and removed afterwards or when something
    else is written there.

    Args:
        description: What takes long, such as `loading`.
    """
    if not sys.stderr.isatty():
        yield
        return
    done, terminal = Event(), sys.stderr
    line = _Line(terminal)
    thread = Thread(target=_show, args=(description, line, done), daemon=True)
    sys.stderr = line
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        line.clear()
        sys.stderr = terminal


class _Line(io.TextIOBase):
    """A terminal on which a line is shown, and removed before anything else is written."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal, self._lock, self._shown = terminal, Lock(), False

    def show(self, text: str) -> None:
        with self._lock:
            self._terminal.write(f"\r{text}")
            self._terminal.flush()
            self._shown = True

    def clear(self) -> None:
        with self._lock:
            self._clear()

    def _clear(self) -> None:
        if self._shown:
            self._terminal.write("\r\x1b[2K")
            self._terminal.flush()
            self._shown = False

    def write(self, text: str) -> int:
        with self._lock:
            self._clear()
            return self._terminal.write(text)

    def flush(self) -> None:
        self._terminal.flush()

    def isatty(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a variable in the base class
        """Encoding of the terminal."""
        return self._terminal.encoding

    def fileno(self) -> int:
        return self._terminal.fileno()


def _show(description: str, line: _Line, done: Event) -> None:
    start, pause = time.monotonic(), DELAY
    while not done.wait(pause):
        width, pause = shutil.get_terminal_size().columns - 1, INTERVAL
        line.show(f"{description}: {time.monotonic() - start:.0f} s"[:width])
