"""One process at a time has a run folder; the system releases it when the process ends."""

import errno
import fcntl
import multiprocessing
import os
import signal
import time

import pytest

from rnn_lab.errors import UserError
from rnn_lab.training.run_lock import LOCK_FILE, RunInUse, RunLock, lock_run_dir

context = multiprocessing.get_context("fork")


def hold(folder, ready, fork_child):
    """Lock a folder, fork a child that outlives this process if asked for, and wait for a kill."""
    lock = RunLock(folder)
    if fork_child and not os.fork():
        time.sleep(5)
        os._exit(0)
    ready.set()
    time.sleep(60)
    lock.release()


@pytest.fixture
def holder(tmp_path):
    """Start a process that locks the folder `run`; kill it at the end."""
    processes = []

    def start(fork_child=False):
        ready = context.Event()
        process = context.Process(target=hold, args=(tmp_path / "run", ready, fork_child))
        process.start()
        processes.append(process)
        assert ready.wait(20)
        return process

    yield start
    for process in processes:
        process.kill()
        process.join()


def kill(process):
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def test_a_locked_folder_is_refused_with_its_owner(holder, tmp_path):
    process = holder()
    with pytest.raises(RunInUse) as error:
        RunLock(tmp_path / "run")
    assert f"run is being used by process {process.pid} on {os.uname().nodename}" in str(
        error.value
    )


@pytest.mark.parametrize("fork_child", [False, True], ids=["alone", "with a child"])
def test_a_killed_process_releases_its_folder(fork_child, holder, tmp_path):
    kill(holder(fork_child))
    RunLock(tmp_path / "run").release()


def test_the_end_of_a_process_can_be_awaited(holder, tmp_path):
    process = holder()
    with pytest.raises(RunInUse):
        lock_run_dir(tmp_path / "run")
    kill_later = context.Process(target=lambda: (time.sleep(0.3), os.kill(process.pid, 9)))
    kill_later.start()
    lock_run_dir(tmp_path / "run", wait=20).release()
    kill_later.join()


def test_a_released_lock_leaves_no_file_and_no_empty_folder(tmp_path):
    lock = RunLock(tmp_path / "runs/experiment/run")
    assert [path.name for path in lock.folder.iterdir()] == [LOCK_FILE]
    lock.release()
    assert not list(tmp_path.iterdir())


def test_folders_with_other_files_remain(tmp_path):
    lock = RunLock(tmp_path / "runs/experiment/run")
    (tmp_path / "runs/experiment/notes.txt").write_text("")
    lock.release()
    assert [path.name for path in tmp_path.rglob("*")] == ["runs", "experiment", "notes.txt"]
    RunLock(tmp_path / "runs/experiment").release()
    assert (tmp_path / "runs/experiment/notes.txt").exists()


def test_a_new_folder_must_not_exist(tmp_path):
    with pytest.raises(FileExistsError):
        RunLock(tmp_path, new=True)


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize("path", ["file", "file/run"])
def test_a_file_is_no_folder(new, path, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises((UserError, FileExistsError)) as error:
        RunLock(tmp_path / path, new=new)
    assert isinstance(error.value, FileExistsError) == (new and path == "file")


def test_without_support_of_locks_a_folder_is_used_as_it_is(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    lock = RunLock(tmp_path / "run")
    assert not lock.effective
    lock.release()


def test_other_errors_are_reported(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with pytest.raises(UserError, match="run cannot be created: Input/output error"):
        RunLock(tmp_path / "run")
