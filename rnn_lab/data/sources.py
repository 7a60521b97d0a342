"""Where data lies: the data root, known files and their downloads, archives read by member."""

import fnmatch
import gzip
import hashlib
import os
import re
import stat
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO, cast

from filelock import FileLock
from platformdirs import user_cache_path

from rnn_lab.errors import UserError

CHUNK = 1 << 20  # bytes read at once
MEMBER_LIMIT = 64 << 20
TOTAL_LIMIT = 8 << 30
DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError, zipfile.BadZipFile)


@dataclass(frozen=True)
class KnownFile:
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


def locate(dataset: str, file: KnownFile, root: str | None = None) -> Path:
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
    dataset: str, choices: tuple[tuple[KnownFile, ...], ...], root: str | None = None
) -> tuple[Path, ...]:
    """Locate the first choice of which every file is present, else fetch the first choice.

    A choice is one way to hold the same data: one archive, or one per split.

    Raises:
        UserError: As `locate` does, for the first choice.
    """
    complete = (c for c in choices if all(present(dataset, file, root) for file in c))
    return tuple(locate(dataset, file, root) for file in next(complete, choices[0]))


def present(dataset: str, file: KnownFile, root: str | None = None) -> Path | None:
    """Return where a file or its `.gz` lies, in the root or, fetched before, in the cache."""
    folder = data_root(root) / dataset
    return _present_in(folder, file) or _present_in(_cache_root() / dataset, file)


def check(path: Path, file: KnownFile) -> None:
    """Verify a file by its digest or, where none is published, by its size.

    Raises:
        UserError: If it differs from what was published, or is damaged.
    """
    fault = _fault(path, file, packed=path.name != file.name)
    if fault is not None:
        raise UserError(f"{path} {fault}: remove or replace it")


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading bytes, decompressed if its name ends in `.gz`.

    Raises:
        UserError: If it cannot be read; also from inside the block, when damage shows up there.
    """
    with damage_named(path), _binary(path, path.suffix == ".gz") as file:
        yield file


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn what reading a file raises inside the block into one line with its name."""
    try:
        yield
    except DAMAGE as error:
        raise UserError(f"{path} is truncated or damaged: {error}") from error
    except OSError as error:
        if error.filename is None:  # not about opening this file: a full disk, a closed pipe
            raise
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def members(
    path: Path,
    pattern: str = "*",
    member_limit: int = MEMBER_LIMIT,
    total_limit: int = TOTAL_LIMIT,
) -> Iterator[tuple[str, bytes]]:
    """Read the files of a tar or zip archive one after the other, nothing is written to disk.

    Args:
        path: Archive ending in `.zip`, `.tar`, `.tar.gz` or `.tgz`.
        pattern: Names to give, as in a shell; `*` also matches `/`.
        member_limit: Most bytes of one member, whether given or skipped.
        total_limit: Most bytes of the archive, decompressed.

    Yields:
        Name and content of each member that matches, in the order of the archive.

    Raises:
        UserError: If the archive is damaged, exceeds a limit, or holds an absolute name, `..`,
            a link, a device or a sparse file.
    """
    read = _zip_members if path.suffix == ".zip" else _tar_members
    with damage_named(path):
        yield from read(path, pattern, member_limit, total_limit)


def _binary(path: Path, packed: bool) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if packed else open(path, "rb")


def _cache_root() -> Path:
    return user_cache_path("rnn_lab") / "data"


def _present_in(folder: Path, file: KnownFile) -> Path | None:
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


def _fault(path: Path, file: KnownFile, packed: bool) -> str | None:
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
    with damage_named(path), _binary(path, packed) as content:
        while chunk := content.read(CHUNK):
            digest.update(chunk)
            total += len(chunk)
    return digest.hexdigest(), total


def _fetch(folder: Path, file: KnownFile) -> Path:
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


def _refuse_unsafe(path: Path, name: str, is_plain: bool) -> None:
    parts = re.split(r"[/\\]", name)
    if not parts[0] or ".." in parts or re.match("[A-Za-z]:", name):
        raise UserError(f"{path} holds the unsafe name {name!r}: not read")
    if not is_plain:
        raise UserError(f"{path} holds {name!r}, a link, a device or a sparse file: not read")


def _refuse_large(path: Path, what: str, size: int, limit: int) -> None:
    if size > limit:
        raise UserError(f"{path} holds {what} of more than {limit} bytes: not read")


class _Metered:
    """Count what is read from an archive and stop at its limits.

    The stretch since the last member started is bounded, too: an extended header lies there,
    which `tarfile` reads into memory whatever its size.
    """

    def __init__(self, path: Path, file: BinaryIO, member_limit: int, total_limit: int) -> None:
        self.path, self.file = path, file
        self.member_limit, self.total_limit = member_limit, total_limit
        self.total = self.stretch = 0
        self.tail = b""

    def read(self, size: int) -> bytes:
        data = self.file.read(size)
        self.total += len(data)
        self.stretch += len(data)
        self.tail = (self.tail + data)[-tarfile.BLOCKSIZE :]
        _refuse_large(self.path, "files", self.total, self.total_limit)
        _refuse_large(self.path, "a member", self.stretch, self.member_limit + CHUNK)
        return data

    def finish(self) -> None:
        """Read to the end: there gzip verifies its sum, and there tar's empty block must be."""
        while self.read(CHUNK):
            self.stretch = 0
        if self.tail.strip(b"\0"):
            raise EOFError("the end of the archive is missing")


def _tar_members(
    path: Path, pattern: str, member_limit: int, total_limit: int
) -> Iterator[tuple[str, bytes]]:
    with _binary(path, path.suffix in (".gz", ".tgz")) as content:
        metered = _Metered(path, content, member_limit, total_limit)
        with tarfile.open(fileobj=cast(BinaryIO, metered), mode="r|") as archive:
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # it would keep every head
                is_plain = member.isdir() or (member.isfile() and not member.issparse())
                _refuse_unsafe(path, member.name, is_plain)
                _refuse_large(path, f"{member.name!r}", member.size, member_limit)
                metered.stretch = 0
                name = member.name.removeprefix("./")
                if member.isfile() and fnmatch.fnmatchcase(name, pattern):
                    yield name, cast(BinaryIO, archive.extractfile(member)).read()
        metered.finish()


def _zip_members(
    path: Path, pattern: str, member_limit: int, total_limit: int
) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        _refuse_large(path, "files", sum(info.file_size for info in infos), total_limit)
        for info in infos:
            kind = stat.S_IFMT(info.external_attr >> 16)
            _refuse_unsafe(path, info.filename, kind in (0, stat.S_IFREG, stat.S_IFDIR))
            _refuse_large(path, f"{info.filename!r}", info.file_size, member_limit)
            name = info.filename.removeprefix("./")
            if not info.is_dir() and fnmatch.fnmatchcase(name, pattern):
                try:
                    content = archive.read(info)
                except RuntimeError as error:  # encrypted, or packed in an unknown way
                    raise zipfile.BadZipFile(str(error)) from error
                yield name, content
