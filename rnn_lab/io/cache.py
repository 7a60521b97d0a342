"""Prepared data in a cache folder: built once by one process, found by all others."""

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

FORMAT = 1  # raise it when anything below changes what is written


def prepared(folder: Path, key: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
    """Find the corpus that the key describes; build it first if it is not there.

    Several processes may ask at once: one builds, the others wait. A process that is killed
    leaves a folder that nobody takes for a corpus, and the next one removes it.

    Args:
        folder: Where corpora lie.
        key: Everything that the corpus depends on, as plain values.
        build: Writes the corpus into an empty folder.

    Returns:
        The folder of the corpus.

    Raises:
        UserError: If the folder cannot be written, for example on a full disk.
    """
    name = hashlib.sha256(json.dumps([FORMAT, key], sort_keys=True).encode()).hexdigest()[:24]
    target = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{name}.lock"):
            if not target.is_dir():
                _build_beside(target, build)
    except OSError as error:
        raise UserError(
            f"the texts cannot be prepared in {folder}: {error.strerror or error}"
        ) from error
    return target


def _build_beside(target: Path, build: Callable[[Path], None]) -> None:
    for left in target.parent.glob(f"{target.name}.*.part"):
        shutil.rmtree(left)
    part = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.part")
    part.mkdir()
    try:
        build(part)
        os.rename(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
