"""Start and end of the worker processes of data loaders."""

import os
import threading
import time
from collections.abc import Callable
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


def initialize_worker(
    worker_id: int, *, parent: int, function: Callable[[int], None] | None
) -> None:
    """Call a loader's own `worker_init_fn`, then exit if the parent has ended.

    A worker of torch notices the end of its parent only if that comes later; otherwise it would
    wait for it forever.

    Args:
        worker_id: Number of the worker.
        parent: Process id of the process that iterates over the loader.
        function: The loader's own `worker_init_fn`.
    """
    if function is not None:
        function(worker_id)
    if os.getppid() != parent:
        os._exit(1)
