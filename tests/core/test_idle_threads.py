"""Forks wait for threads that run."""

import hashlib
import sys
import threading
import time

import pytest

from rnn_lab.core import idle_threads
from rnn_lab.core.idle_threads import wait_for_idle_threads


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
    monkeypatch.setattr(idle_threads, "LIMIT_SECONDS", 60.0)
    start = time.monotonic()
    wait_for_idle_threads()
    assert time.monotonic() - start < 30
    awake.set()
    thread.join()
