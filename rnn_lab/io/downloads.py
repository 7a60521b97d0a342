"""Files of public datasets: where they are, and how they are downloaded and verified."""

import hashlib
import os
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from rnn_lab.errors import UserError
from rnn_lab.io.archives import CHUNK, damage_named, open_binary


@dataclass(frozen=True)
class RemoteFile:
    """A file of a known dataset, as its publisher distributes it.

    Args:
        name: File name in the dataset's folder; a present `name.gz` counts alike.
        urls: Addresses to fetch it or its `.gz` from, tried in this order; none where there is no
            address.
        digest: A digest that was published, `"md5:<hex>"` or `"sha256:<hex>"`; of the content,
            also where the file lies compressed.
        size: Bytes of the file before any compression of ours.
    """

    name: str
    urls: tuple[str, ...] = ()
    digest: str | None = None
    size: int | None = None


def data_root(root: str | None = None) -> Path:
    """Say where datasets lie: the argument, else `RNN_LAB_DATA`, else the user's cache folder."""
    chosen = root or os.environ.get("RNN_LAB_DATA")
    return Path(chosen).expanduser() if chosen else _cache_root()


def locate(dataset: str, file: RemoteFile, root: str | None = None) -> Path:
    """Find a file of a dataset in the data root, or fetch it; either way verified.

    Args:
        dataset: Folder in the root.
        file: What to look for.
        root: The data root, see `data_root`. Where it cannot be written, what is missing goes
            to the user's cache folder.

    Returns:
        Path of the file, or of its `.gz`.

    Raises:
        UserError: If it is not there and cannot be fetched, or is not what was published.
    """
    found = present(dataset, file, root)
    if found is not None:
        check(found, file)
        return found
    folder = data_root(root) / dataset
    if not file.urls:
        raise UserError(f"{file.name} is not in {folder} and has no address: put it there")
    if not _writable(folder):
        folder = _cache_root() / dataset
    if not _writable(folder):
        raise UserError(f"{file.name} cannot be fetched to {folder}: it is read-only")
    with FileLock(folder / f".{file.name}.lock"):
        return _present_in(folder, file) or _fetch(folder, file)  # another process was faster


def locate_one_of(
    dataset: str, choices: tuple[tuple[RemoteFile, ...], ...], root: str | None = None
) -> tuple[Path, ...]:
    """Locate the first choice of which every file is present, else fetch the first choice.

    A choice is one way to hold the same data: one archive, or one per split.

    Raises:
        UserError: As `locate` does, for the first choice.
    """
    complete = (c for c in choices if all(present(dataset, file, root) for file in c))
    return tuple(locate(dataset, file, root) for file in next(complete, choices[0]))


def present(dataset: str, file: RemoteFile, root: str | None = None) -> Path | None:
    """Return where a file or its `.gz` lies, in the root or, fetched before, in the cache."""
    folder = data_root(root) / dataset
    return _present_in(folder, file) or _present_in(_cache_root() / dataset, file)


def check(path: Path, file: RemoteFile) -> None:
    """Verify a file by its digest or, where none is published, by its size.

    Raises:
        UserError: If it differs from what was published, or is damaged.
    """
    fault = _fault(path, file, packed=path.name != file.name)
    if fault is not None:
        raise UserError(f"{path} {fault}: remove or replace it")


def _cache_root() -> Path:
    return user_cache_path("rnn_lab") / "data"


def _present_in(folder: Path, file: RemoteFile) -> Path | None:
    both = (folder / file.name, folder / f"{file.name}.gz")
    return next((path for path in both if path.is_file()), None)


def _writable(folder: Path) -> bool:
    """Try it: a file system may be read-only; but what no one may write is kept from root, too."""
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if not nearest.stat().st_mode & 0o222:
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _fault(path: Path, file: RemoteFile, packed: bool) -> str | None:
    """Say what distinguishes the content from what was published, if anything."""
    if file.digest is None and file.size is None:
        return None
    algorithm, _, wanted = (file.digest or "md5:").partition(":")
    now = path.stat()
    found, size = _measured(path, packed, algorithm, now.st_mtime_ns, now.st_size)
    if wanted and found != wanted:
        return f"has {algorithm} {found}, wanted {wanted}"
    if not wanted and size != file.size:
        return f"holds {size} bytes, wanted {file.size}"
    return None


@cache
def _measured(path: Path, packed: bool, algorithm: str, mtime: int, size: int) -> tuple[str, int]:
    """Digest and size of the content; time and size on disk only key the cache."""
    digest, total = hashlib.new(algorithm, usedforsecurity=False), 0
    with damage_named(path), open_binary(path, packed) as content:
        while chunk := content.read(CHUNK):
            digest.update(chunk)
            total += len(chunk)
    return digest.hexdigest(), total


def _fetch(folder: Path, file: RemoteFile) -> Path:
    """Download beside the target, verify, then rename: what bears the name is whole."""
    from pooch import HTTPDownloader  # brings requests: only where something is fetched

    bar, plain = sys.stderr.isatty(), {"Accept-Encoding": "identity"}
    download = HTTPDownloader(progressbar=bar, chunk_size=CHUNK, headers=plain)
    scratch, reasons = folder / f".{file.name}.part", []  # ours alone: the caller holds the lock
    try:
        for url in file.urls:
            try:
                download(url, str(scratch), None)
            except OSError as error:  # what requests raises, too
                reasons.append(f"{url} ({_reason(error)})")
                continue
            ending = ".gz" if url.endswith(f"/{file.name}.gz") else ""  # published compressed
            fault = _fault(scratch, file, packed=bool(ending))
            if fault is not None:
                raise UserError(f"{file.name} as fetched from {url} {fault}: not kept")
            return scratch.replace(folder / f"{file.name}{ending}")
    finally:
        scratch.unlink(missing_ok=True)
    places = " or ".join(reasons)
    raise UserError(f"{file.name} is not in {folder} and cannot be fetched from {places}")


def _reason(error: OSError) -> str:
    response = getattr(error, "response", None)  # of requests: the server did answer
    if response is not None:
        return f"HTTP {response.status_code}"
    return error.strerror or type(error).__name__
