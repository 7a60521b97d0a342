"""The wish to stop, as schedulers send it: received from the first moment on, acted upon later.

Nothing but the standard library is imported, so that a signal that comes while all else is being
imported is not lost.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)

_heard: list[int] = []


class Preempted(Exception):
    """A command was left because a signal asked for it.

    Args:
        signum: The signal.
        path: The checkpoint from which it goes on; empty if there is none.
    """

    def __init__(self, signum: int, path: str) -> None:
        self.signum, self.path = signum, path
        resumable = f"{path} is resumed by the same command with --ckpt_path=last"
        end = resumable if path else "nothing was saved"
        super().__init__(f"preempted by {signal.Signals(signum).name}: {end}")


@contextmanager
def handle_signals() -> Iterator[None]:
    """Listen as long as this lasts; then all is as it was before."""
    before = {wish: signal.getsignal(wish) for wish in SIGNALS}
    install_handlers()
    try:
        yield
    finally:
        _heard.clear()
        for wish, handler in before.items():
            signal.signal(wish, handler)


def install_handlers() -> None:
    """Note these signals from now on instead of dying of them; children they do not concern."""
    here = os.getpid()

    def note(signum: int, frame: FrameType | None) -> None:
        if os.getpid() == here:  # a forked worker is ended by its parent
            _heard.append(signum)

    for wish in SIGNALS:
        signal.signal(wish, note)


def received() -> int:
    """Number of the first signal that came; 0 if there was none."""
    return _heard[0] if _heard else 0
