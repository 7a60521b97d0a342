"""Compressed files and archives, read member by member within size limits."""

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

CHUNK_SIZE = 1 << 20  # bytes per read
MEMBER_LIMIT = 64 << 20
TOTAL_LIMIT = 8 << 30
CORRUPTION_ERRORS = (
    EOFError,
    zlib.error,
    gzip.BadGzipFile,
    tarfile.TarError,
    zipfile.BadZipFile,
)


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading bytes, decompressed if its name ends in `.gz`.

    Raises:
        UserError: If it cannot be read; also from inside the block, if it turns out to be damaged.
    """
    with read_errors_named(path), open_binary(path, path.suffix == ".gz") as file:
        yield file


@contextmanager
def read_errors_named(path: Path) -> Iterator[None]:
    """Convert errors of reading a file into a `UserError` of one line that names the file."""
    try:
        yield
    except CORRUPTION_ERRORS as error:
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
    """Read the files of a tar or zip archive one by one, without writing to disk.

    Args:
        path: Archive ending in `.zip`, `.tar`, `.tar.gz` or `.tgz`.
        pattern: Shell pattern of the names to return; `*` also matches `/`.
        member_limit: Maximum bytes of one member, whether returned or skipped.
        total_limit: Maximum bytes of the decompressed archive.

    Yields:
        Name and content of each matching member, in the order of the archive.

    Raises:
        UserError: If the archive is damaged, exceeds a limit, or contains an absolute name, `..`,
            a link, a device or a sparse file.
    """
    read = _zip_members if path.suffix == ".zip" else _tar_members
    with read_errors_named(path):
        yield from read(path, pattern, member_limit, total_limit)


def open_binary(path: Path, compressed: bool) -> BinaryIO:
    """Open a file for reading bytes, decompressed with gzip if it is compressed."""
    return cast(BinaryIO, gzip.open(path)) if compressed else open(path, "rb")


def _check_safe(path: Path, name: str, is_plain: bool) -> None:
    parts = re.split(r"[/\\]", name)
    if not parts[0] or ".." in parts or re.match("[A-Za-z]:", name):
        raise UserError(f"{path} contains the unsafe name {name!r}: not read")
    if not is_plain:
        raise UserError(f"{path} contains {name!r}, a link, a device or a sparse file: not read")


def check_size(path: Path, what: str, size: int, limit: int) -> None:
    """Raise a `UserError` if something in a file is larger than its limit in bytes."""
    if size > limit:
        raise UserError(f"{path} contains {what} of more than {limit} bytes: not read")


class _LimitedReader:
    """File object that counts the bytes read from an archive and stops at its limits.

    The bytes since the start of the last member are limited, too: they include an extended header,
    which `tarfile` reads into memory whatever its size.
    """

    def __init__(self, path: Path, file: BinaryIO, member_limit: int, total_limit: int) -> None:
        self.path, self.file = path, file
        self.member_limit, self.total_limit = member_limit, total_limit
        self.total = self.since_member = 0
        self.tail = b""

    def read(self, size: int) -> bytes:
        data = self.file.read(size)
        self.total += len(data)
        self.since_member += len(data)
        self.tail = (self.tail + data)[-tarfile.BLOCKSIZE :]
        check_size(self.path, "files", self.total, self.total_limit)
        check_size(self.path, "a member", self.since_member, self.member_limit + CHUNK_SIZE)
        return data

    def finish(self) -> None:
        """Read to the end, where gzip verifies its checksum and tar must have an empty block."""
        while self.read(CHUNK_SIZE):
            self.since_member = 0
        if self.tail.strip(b"\0"):
            raise EOFError("the end of the archive is missing")


def _tar_members(
    path: Path, pattern: str, member_limit: int, total_limit: int
) -> Iterator[tuple[str, bytes]]:
    with open_binary(path, path.suffix in (".gz", ".tgz")) as content:
        reader = _LimitedReader(path, content, member_limit, total_limit)
        with tarfile.open(fileobj=cast(BinaryIO, reader), mode="r|") as archive:
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # else it keeps every header
                is_plain = member.isdir() or (member.isfile() and not member.issparse())
                _check_safe(path, member.name, is_plain)
                check_size(path, f"{member.name!r}", member.size, member_limit)
                reader.since_member = 0
                name = member.name.removeprefix("./")
                if member.isfile() and fnmatch.fnmatchcase(name, pattern):
                    yield name, cast(BinaryIO, archive.extractfile(member)).read()
        reader.finish()


def _zip_members(
    path: Path, pattern: str, member_limit: int, total_limit: int
) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        check_size(path, "files", sum(info.file_size for info in infos), total_limit)
        for info in infos:
            kind = stat.S_IFMT(info.external_attr >> 16)
            _check_safe(path, info.filename, kind in (0, stat.S_IFREG, stat.S_IFDIR))
            check_size(path, f"{info.filename!r}", info.file_size, member_limit)
            name = info.filename.removeprefix("./")
            if not info.is_dir() and fnmatch.fnmatchcase(name, pattern):
                try:
                    content = archive.read(info)
                except RuntimeError as error:  # encrypted, or an unknown compression
                    raise zipfile.BadZipFile(str(error)) from error
                yield name, content
