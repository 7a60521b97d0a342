"""Files of public datasets: their URLs, and how they are downloaded and verified."""

import hashlib
import os
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from rnn_lab.errors import UserError
from rnn_lab.io.archives import CHUNK_SIZE, open_binary, read_errors_named
from rnn_lab.io.locks import announced_lock


@dataclass(frozen=True)
class RemoteFile:
    """A file of a public dataset, as its publisher distributes it.

    Args:
        name: File name in the dataset's folder; an existing `name.gz` is used as well.
        urls: URLs of the file or its `.gz`, tried in this order; empty if there is none.
        digest: The published checksum, `"md5:<hex>"` or `"sha256:<hex>"`; of the uncompressed
            content, even if the local file is compressed.
        size: Bytes of the published file, before any local compression.
    """

    name: str
    urls: tuple[str, ...] = ()
    digest: str | None = None
    size: int | None = None


def data_root(root: str | None = None) -> Path:
    """Return the data root: the argument, else `RNN_LAB_DATA`, else the user's cache folder."""
    chosen = root or os.environ.get("RNN_LAB_DATA")
    return Path(chosen).expanduser() if chosen else _cache_root()


def locate(dataset: str, file: RemoteFile, root: str | None = None) -> Path:
    """Return the local path of a file of a dataset; download it if missing; verify it.

    Args:
        dataset: Folder in the root.
        file: The file.
        root: The data root, see `data_root`. If it is not writable, missing files are downloaded
            to the user's cache folder.

    Returns:
        Path of the file, or of its `.gz`.

    Raises:
        UserError: If it is missing and cannot be downloaded, or differs from the published file.
    """
    local = find_local(dataset, file, root)
    if local is not None:
        verify(local, file)
        return local
    folder = data_root(root) / dataset
    if not file.urls:
        raise UserError(f"{file.name} is not in {folder} and has no URL: put it there")
    if not _writable(folder):
        folder = _cache_root() / dataset
    if not _writable(folder):
        raise UserError(f"{file.name} cannot be downloaded to {folder}: it is read-only")
    with announced_lock(folder / f".{file.name}.lock", f"downloads {file.name}"):
        return _find_in(folder, file) or _download(folder, file)  # another process may be first


def locate_one_of(
    dataset: str, choices: tuple[tuple[RemoteFile, ...], ...], root: str | None = None
) -> tuple[Path, ...]:
    """Locate the first choice whose files all exist locally, else download the first choice.

    A choice is one way to store the same data: one archive, or one file per split.

    Raises:
        UserError: As `locate` does, for the selected choice.
    """
    complete = (c for c in choices if all(find_local(dataset, file, root) for file in c))
    return tuple(locate(dataset, file, root) for file in next(complete, choices[0]))


def find_local(dataset: str, file: RemoteFile, root: str | None = None) -> Path | None:
    """Return the local path of a file or its `.gz`, in the root or in the cache, if it exists."""
    folder = data_root(root) / dataset
    return _find_in(folder, file) or _find_in(_cache_root() / dataset, file)


def verify(path: Path, file: RemoteFile) -> None:
    """Verify a file by its checksum or, if none is published, by its size.

    Raises:
        UserError: If it differs from the published file, or is damaged.
    """
    mismatch = _mismatch(path, file, compressed=path.name != file.name)
    if mismatch is not None:
        raise UserError(f"{path} {mismatch}: remove or replace it")


def _cache_root() -> Path:
    return user_cache_path("rnn_lab") / "data"


def _find_in(folder: Path, file: RemoteFile) -> Path | None:
    candidates = (folder / file.name, folder / f"{file.name}.gz")
    return next((path for path in candidates if path.is_file()), None)


def _writable(folder: Path) -> bool:
    """Return whether files can be created; a folder that no user may write counts for root, too."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.stat().st_mode & 0o222:
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # the file system may be read-only
            return True
    except OSError:
        return False


def _mismatch(path: Path, file: RemoteFile, compressed: bool) -> str | None:
    """Describe how the content differs from the published file, if it does."""
    if file.digest is None and file.size is None:
        return None
    algorithm, _, expected = (file.digest or "md5:").partition(":")
    status = path.stat()
    actual, size = _checksum(path, compressed, algorithm, status.st_mtime_ns, status.st_size)
    if expected and actual != expected:
        return f"has {algorithm} {actual}, expected {expected}"
    if not expected and size != file.size:
        return f"has {size} bytes, expected {file.size}"
    return None


@cache
def _checksum(
    path: Path, compressed: bool, algorithm: str, mtime: int, disk_size: int
) -> tuple[str, int]:
    """Return digest and size of the content; `mtime` and `disk_size` are only cache keys."""
    digest, total = hashlib.new(algorithm, usedforsecurity=False), 0
    with read_errors_named(path), open_binary(path, compressed) as content:
        while chunk := content.read(CHUNK_SIZE):
            digest.update(chunk)
            total += len(chunk)
    return digest.hexdigest(), total


def _download(folder: Path, file: RemoteFile) -> Path:
    """Download to a temporary file, verify it, then rename it."""
    from pooch import HTTPDownloader  # imports requests, so only when something is downloaded

    show_progress, headers = sys.stderr.isatty(), {"Accept-Encoding": "identity"}
    download = HTTPDownloader(progressbar=show_progress, chunk_size=CHUNK_SIZE, headers=headers)
    temporary, failures = folder / f".{file.name}.part", []  # the caller holds the lock
    try:
        for url in file.urls:
            try:
                download(url, str(temporary), None)
            except OSError as error:  # the base class of the errors of requests
                failures.append(f"{url} ({_reason(error)})")
                continue
            suffix = ".gz" if url.endswith(f"/{file.name}.gz") else ""  # published compressed
            mismatch = _mismatch(temporary, file, compressed=bool(suffix))
            if mismatch is not None:
                raise UserError(f"{file.name} as downloaded from {url} {mismatch}: discarded")
            return temporary.replace(folder / f"{file.name}{suffix}")
    finally:
        temporary.unlink(missing_ok=True)
    sources = " or ".join(failures)
    raise UserError(f"{file.name} is not in {folder} and cannot be downloaded from {sources}")


def _reason(error: OSError) -> str:
    response = getattr(error, "response", None)  # set by requests if the server responded
    if response is not None:
        return f"HTTP {response.status_code}"
    return error.strerror or type(error).__name__
