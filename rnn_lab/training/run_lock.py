"""The lock of a run folder, so that only one launch at a time trains in it."""

import errno
import fcntl
import itertools
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from rnn_lab.errors import UserError

LOCK_FILE = ".run.lock"
UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # a file system without locks
RETRY_INTERVAL = 0.5  # seconds


class RunInUse(UserError):
    """Another process has the lock of a run folder."""


class RunLock:
    """The lock of a run folder, which the operating system releases when its process ends.

    A missing folder is created. It is a POSIX record lock: child processes do not inherit it, so a
    killed run can be resumed while its data-loading processes are still ending. On a file system
    without locks nothing is locked.

    Args:
        folder: The run folder.
        new: Whether the folder must not exist, which is checked and created in one atomic step.

    Attributes:
        folder: The run folder.
        effective: Whether the file system supports locks.

    Raises:
        FileExistsError: If a new folder exists.
        RunInUse: If another process has the lock.
        UserError: If the folder or the lock cannot be created.
    """

    def __init__(self, folder: Path, *, new: bool = False) -> None:
        self.folder = folder
        self._created = [path for path in (folder, *folder.parents) if not path.exists()]
        self._path = folder / LOCK_FILE
        try:
            _make_folder(folder, new)
            self._file, self.effective = self._open()
        except OSError as error:
            if new and isinstance(error, FileExistsError):
                raise
            reason = error.strerror or error
            raise UserError(f"the run folder {folder} cannot be created: {reason}") from error

    def _open(self) -> tuple[IO[str], bool]:
        while True:
            file = open(self._path, "a+", encoding="utf-8")  # noqa: SIM115  # open until release
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                owner = _read_owner(file)
                file.close()
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    raise RunInUse(
                        f"{self.folder} is being used by {owner}: wait until it has ended, or "
                        "choose another --name"
                    ) from error
                if error.errno not in UNSUPPORTED:
                    raise
                return open(os.devnull, "w"), False
            if _is_same_file(file, self._path):  # else its owner removed it meanwhile
                file.truncate(0)
                file.write(f"process {os.getpid()} on {os.uname().nodename}\n")
                file.flush()
                return file, True
            file.close()

    def release(self) -> None:
        """Release the lock; remove the folders that were created for it if they are empty."""
        with suppress(OSError):
            self._path.unlink()
        self._file.close()
        with suppress(OSError):  # not empty
            for folder in self._created:
                folder.rmdir()


def lock_run_dir(folder: Path, wait: float = 0.0) -> RunLock:
    """Lock a run folder.

    Args:
        folder: The run folder.
        wait: Seconds to wait for a process that is ending.

    Raises:
        RunInUse: If another process has the lock.
    """
    deadline = time.monotonic() + wait
    while True:
        try:
            return RunLock(folder)
        except RunInUse:
            if time.monotonic() >= deadline:
                raise
        time.sleep(RETRY_INTERVAL)


def _make_folder(folder: Path, new: bool) -> None:
    for attempt in itertools.count():
        try:
            try:
                folder.parent.mkdir(parents=True, exist_ok=True)
            except FileExistsError as error:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error
            folder.mkdir(exist_ok=not new)
            return
        except FileNotFoundError:  # another process removed an empty parent folder meanwhile
            if attempt == 10:
                raise


def _read_owner(file: IO[str]) -> str:
    file.seek(0)
    return file.readline().strip() or "another process"


def _is_same_file(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
