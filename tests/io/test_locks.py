"""Locks between processes."""

import fcntl
import logging
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from rnn_lab.io import locks
from rnn_lab.io.locks import announced_lock


def test_a_free_lock_is_taken_without_a_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with announced_lock(tmp_path / "a.lock", "works"):
        assert (tmp_path / "a.lock").exists()
    assert caplog.records == []


def test_waiting_for_a_held_lock_is_logged_and_goes_on_when_it_is_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "SILENT_SECONDS", 0.05)
    path = tmp_path / "a.lock"
    with open(path, "w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        timer = threading.Timer(0.3, fcntl.flock, (holder, fcntl.LOCK_UN))
        timer.start()
        with caplog.at_level(logging.WARNING), announced_lock(path, "prepares the same data"):
            pass
        timer.join()
    assert [record.getMessage() for record in caplog.records] == [
        f"waiting for another process that prepares the same data (it holds {path})"
    ]


def test_a_lock_is_released_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), announced_lock(tmp_path / "a.lock", "works"):
        raise KeyError
    FileLock(tmp_path / "a.lock").acquire(timeout=0)
