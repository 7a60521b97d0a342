"""Wait for the other threads of this process, before it forks."""

import threading
import time
from pathlib import Path

GRACE_SECONDS = 0.05  # for threads of a finished collective operation to wake up
LIMIT_SECONDS = 2.0


def wait_for_idle_threads() -> None:
    """Release the GIL until no other thread of this process is running or ready to run.

    Where the operating system does not list the threads, only a fixed time passes. A thread that
    never stops is waited for no longer than two seconds.
    """
    end = time.monotonic() + LIMIT_SECONDS
    time.sleep(GRACE_SECONDS)
    while _any_other_runs() and time.monotonic() < end:
        time.sleep(GRACE_SECONDS)


def _any_other_runs() -> bool:
    """Return whether Linux lists another thread of this process as runnable."""
    own = threading.get_native_id()
    for stat in Path("/proc/self/task").glob("[0-9]*/stat"):
        try:
            state = stat.read_text().rpartition(") ")[2][0]
        except OSError:  # the thread has ended
            continue
        if state == "R" and int(stat.parent.name) != own:
            return True
    return False
