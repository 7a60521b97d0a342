"""A cache of preprocessed data: one process builds an entry, all others verify and reuse it."""

import json
import logging
import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from rnn_lab.errors import UserError
from rnn_lab.io.archives import CHUNK_SIZE
from rnn_lab.io.hashing import hash_of
from rnn_lab.io.locks import announced_lock
from rnn_lab.io.waiting import waiting

log = logging.getLogger(__name__)
FORMAT = 2  # increase it when a change below changes the written files
CHECKSUMS = "checksums.json"  # sizes and checksums of the other files of an entry


def get_or_build(folder: Path, key: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
    """Return the cache entry of a key; build it first if it does not exist or is damaged.

    Concurrent processes are safe: one builds, the others wait. A process that is killed leaves a
    temporary folder, which is never taken for an entry and which the next build removes. The
    CRC-32 checksums of an entry are verified once per process, at about 2 GB per second.

    Args:
        folder: The cache folder.
        key: Everything that the entry depends on, as plain values.
        build: Writes the entry into an empty folder.

    Returns:
        The folder of the entry.

    Raises:
        UserError: If the cache folder cannot be written, for example on a full disk.
    """
    target = entry_path(folder, key)
    lock = target.with_name(f"{target.name}.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with announced_lock(lock, "prepares the same data"):
            if not target.is_dir():
                _build_atomically(target, build)
                return target
        if find_damage(target):  # without the lock, so that processes verify in parallel
            with announced_lock(lock, "prepares the same data"):
                _rebuild(target, build)
    except OSError as error:
        raise UserError(
            f"the data cannot be prepared in {folder}: {error.strerror or error}"
        ) from error
    return target


def entry_path(folder: Path, key: Mapping[str, Any]) -> Path:
    """Return the folder of the entry of a key, which may not exist."""
    return folder / hash_of([FORMAT, key])[:24]


def _rebuild(target: Path, build: Callable[[Path], None]) -> None:
    damage = find_damage(target)  # another process may have built it again
    if not damage:
        return
    log.warning("the prepared data in %s is damaged (%s): it is prepared again", target, damage)
    shutil.rmtree(target)
    _build_atomically(target, build)


def _build_atomically(target: Path, build: Callable[[Path], None]) -> None:
    for stale in target.parent.glob(f"{target.name}.*.part"):
        shutil.rmtree(stale)
    temporary = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.part")
    temporary.mkdir()
    try:
        build(temporary)
        checksums = {path.name: _checksum(path) for path in _files(temporary)}
        (temporary / CHECKSUMS).write_text(json.dumps(checksums), encoding="utf-8")
        os.rename(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def find_damage(entry: Path) -> str:
    """Describe how the files of a cache entry differ from what was written; empty if they do not.

    Sizes are compared always, checksums once per process and state of a file on disk.
    """
    try:
        expected = json.loads((entry / CHECKSUMS).read_text(encoding="utf-8"))
        pairs = {name: (int(size), int(checksum)) for name, (size, checksum) in expected.items()}
    except (AttributeError, OSError, RecursionError, TypeError, ValueError):
        return f"{CHECKSUMS} cannot be read"
    files = {path.name: path for path in _files(entry)}
    for name in sorted(pairs.keys() ^ files.keys()):
        return f"{name} is {'missing' if name in pairs else 'not part of it'}"
    for name, path in files.items():
        if path.stat().st_size != pairs[name][0]:
            return f"{name} has {path.stat().st_size} bytes, expected {pairs[name][0]}"
    for name, path in files.items():
        with waiting(f"verifying {name} of the prepared data"):
            differs = _checksum(path) != pairs[name]
        if differs:
            return f"the checksum of {name} differs"
    return ""


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name != CHECKSUMS)


def _checksum(path: Path) -> tuple[int, int]:
    """Return size and CRC-32 of a file, which are computed once per state of the file."""
    status = path.stat()
    return _compute_checksum(path.resolve(), status.st_ino, status.st_mtime_ns, status.st_size)


@cache
def _compute_checksum(path: Path, inode: int, mtime: int, size: int) -> tuple[int, int]:
    checksum = total = 0
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_SIZE):
            checksum, total = zlib.crc32(chunk, checksum), total + len(chunk)
    return total, checksum
