"""Memory that a step of training frees is kept for the next one.

A recurrent layer notes what it has seen at every step of a sequence, tens of megabytes a batch. The
C library of Linux gives blocks of that size back to the system as soon as they are freed, and for
the next batch the system hands out each page again, cleared: up to half of the time that an LSTM
trains on a CPU. Kept memory is no more than a process held at its peak, in most cases.
"""

import ctypes
import os

RETURN = "RNN_LAB_RETURN_MEMORY"
KEPT = (1 << 31) - 1  # bytes free at the end of the heap, the most that can be said; more goes back
TRIM_THRESHOLD, MMAP_MAX = -1, -4  # as malloc.h numbers them


def configure_malloc() -> None:
    """Let this process keep up to 2 GB that it frees, unless `RNN_LAB_RETURN_MEMORY` is set.

    Nothing happens where the C library is not glibc.
    """
    if os.name != "posix" or os.environ.get(RETURN, "") not in ("", "0"):
        return
    adjust = getattr(ctypes.CDLL(None), "mallopt", None)
    if adjust is not None:
        adjust(MMAP_MAX, 0)  # large blocks come from the heap, too
        adjust(TRIM_THRESHOLD, KEPT)
