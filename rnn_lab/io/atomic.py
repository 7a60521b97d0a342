"""Files that appear under their name only when they are complete."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rnn_lab.errors import UserError


@contextmanager
def atomic_path(path: Path, tag: str = "") -> Iterator[Path]:
    """Give a path to write to, which becomes `path` when the block ends without an error.

    The folder is made. A crash leaves `path` as it was, and a hidden file beside it that the next
    writer of the same tag replaces.

    Args:
        path: The file.
        tag: Tells apart the hidden files of several writers of the same file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}{tag}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[str]]:
    """Open a file for text that appears under its name when the block ends without an error.

    Raises:
        UserError: If it cannot be written.
    """
    try:
        with (
            atomic_path(path, f".{os.getpid()}") as part,
            open(part, "w", encoding="utf-8", newline="") as file,  # closed before it is renamed
        ):
            yield file
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
