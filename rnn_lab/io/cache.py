"""A cache of preprocessed data: one process builds an entry, all others reuse it."""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from rnn_lab.errors import UserError

FORMAT = 1  # increase it when a change below changes the written files


def get_or_build(folder: Path, key: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
    """Return the cache entry of a key; build it first if it does not exist.

    Concurrent processes are safe: one builds, the others wait. A process that is killed leaves a
    temporary folder, which is never taken for an entry and which the next build removes.

    Args:
        folder: The cache folder.
        key: Everything that the entry depends on, as plain values.
        build: Writes the entry into an empty folder.

    Returns:
        The folder of the entry.

    Raises:
        UserError: If the cache folder cannot be written, for example on a full disk.
    """
    name = hashlib.sha256(json.dumps([FORMAT, key], sort_keys=True).encode()).hexdigest()[:24]
    target = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{name}.lock"):
            if not target.is_dir():
                _build_atomically(target, build)
    except OSError as error:
        raise UserError(
            f"the data cannot be prepared in {folder}: {error.strerror or error}"
        ) from error
    return target


def _build_atomically(target: Path, build: Callable[[Path], None]) -> None:
    for stale in target.parent.glob(f"{target.name}.*.part"):
        shutil.rmtree(stale)
    temporary = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.part")
    temporary.mkdir()
    try:
        build(temporary)
        os.rename(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
