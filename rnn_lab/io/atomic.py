"""Atomic writes: a file appears under its name only when it is complete."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rnn_lab.errors import UserError


@contextmanager
def atomic_path(path: Path, tag: str = "") -> Iterator[Path]:
    """Yield a temporary path, which is renamed to `path` when the block ends without an error.

    The parent folder is created. A crash leaves `path` unchanged, and a hidden temporary file next
    to it, which the next writer with the same tag replaces.

    Args:
        path: The file to write.
        tag: Distinguishes the temporary files of several writers of the same file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}{tag}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[str]]:
    """Open a text file that appears under its name when the block ends without an error.

    Raises:
        UserError: If the file cannot be written.
    """
    try:
        with (
            atomic_path(path, f".{os.getpid()}") as temporary,
            open(temporary, "w", encoding="utf-8", newline="") as file,  # closed before renaming
        ):
            yield file
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
