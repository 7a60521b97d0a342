"""Deferred handling of SIGTERM and SIGUSR1, which schedulers send to stop a process.

Only the standard library is imported, so that the handlers are installed before slow imports and
no signal is lost.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
# Environment variable of a process whose parent requeues the SLURM job after all of its runs.
REQUEUED_BY_PARENT = "RNN_LAB_REQUEUED_BY_PARENT"

_received: list[int] = []


class Preempted(Exception):
    """Raised to end a command after a signal asked the process to stop.

    Args:
        signum: Number of the signal.
        path: Path of the checkpoint to resume from; empty if there is none.
    """

    def __init__(self, signum: int, path: str) -> None:
        self.signum, self.path = signum, path
        resume = f"{path} is resumed by the same command with --ckpt_path=last"
        super().__init__(
            f"preempted by {signal.Signals(signum).name}: {resume if path else 'nothing was saved'}"
        )


@contextmanager
def handle_signals() -> Iterator[None]:
    """Install the handlers within a `with` block, then restore the previous ones."""
    previous = {signum: signal.getsignal(signum) for signum in SIGNALS}
    install_handlers()
    try:
        yield
    finally:
        _received.clear()
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def install_handlers() -> None:
    """Record `SIGNALS` instead of terminating; forked children ignore them."""
    pid = os.getpid()

    def record(signum: int, frame: FrameType | None) -> None:
        if os.getpid() == pid:  # forked workers are ended by their parent
            _received.append(signum)

    for signum in SIGNALS:
        signal.signal(signum, record)


def received() -> int:
    """Return the number of the first signal received; 0 if there was none."""
    return _received[0] if _received else 0
