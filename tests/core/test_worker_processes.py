"""Workers are forked while other threads are idle, and end with their parent."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from rnn_lab.core import worker_processes
from rnn_lab.core.worker_processes import wait_for_idle_threads

PARENT = """
import os, time
from pathlib import Path
from rnn_lab.datamodules import SyntheticReviews

def start_slowly(worker_id):
    Path("worker").write_text(str(os.getpid()))
    while not Path("go").exists():
        time.sleep(0.01)

loader = SyntheticReviews(train_size=8, valid_size=8, test_size=8).train_dataloader()
loader.num_workers, loader.prefetch_factor = 1, 2
loader.worker_init_fn = start_slowly
list(loader)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the threads of a process")
def test_a_thread_that_runs_is_waited_for() -> None:
    ended = []

    def work() -> None:
        hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 400_000)  # without the GIL
        ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    wait_for_idle_threads()
    assert ended
    thread.join()


def test_a_thread_that_sleeps_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    awake = threading.Event()
    thread = threading.Thread(target=awake.wait)
    thread.start()
    monkeypatch.setattr(worker_processes, "LIMIT_SECONDS", 60.0)
    start = time.monotonic()
    wait_for_idle_threads()
    assert time.monotonic() - start < 30
    awake.set()
    thread.join()


def wait(condition) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def runs(pid: int) -> bool:
    """Return whether a process is alive, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_whose_parent_is_killed_while_it_starts_ends(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=tmp_path)
    mark = tmp_path / "worker"
    wait(lambda: mark.exists() and mark.read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    (tmp_path / "go").touch()
    worker = int(mark.read_text())
    try:
        wait(lambda: not runs(worker))
    finally:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
