"""Compressed files and archives, read member by member within limits."""

import fnmatch
import gzip
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from rnn_lab.errors import UserError

CHUNK = 1 << 20  # bytes read at once
MEMBER_LIMIT = 64 << 20
TOTAL_LIMIT = 8 << 30
DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError, zipfile.BadZipFile)


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading bytes, decompressed if its name ends in `.gz`.

    Raises:
        UserError: If it cannot be read; also from inside the block, when damage shows up there.
    """
    with damage_named(path), open_binary(path, path.suffix == ".gz") as file:
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


def open_binary(path: Path, packed: bool) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if packed else open(path, "rb")


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
    with open_binary(path, path.suffix in (".gz", ".tgz")) as content:
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
