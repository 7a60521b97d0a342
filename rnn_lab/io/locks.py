"""Locks between processes, which say so when they wait."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)
SILENT_SECONDS = 5.0  # of waiting until a message


@contextmanager
def announced_lock(path: Path, action: str) -> Iterator[None]:
    """Hold a lock; waiting for another process for more than a few seconds is logged.

    Args:
        path: File of the lock, which is released when the process that holds it ends.
        action: What another process is doing while it holds the lock, for the message.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=SILENT_SECONDS)
    except Timeout:
        log.warning("waiting for another process that %s (it holds %s)", action, path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
