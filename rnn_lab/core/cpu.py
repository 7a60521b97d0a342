"""Settings of the whole process under which recurrent networks train fast on a CPU."""

import ctypes
import logging
import os

import torch

KEEP_DENORMALS = "RNN_LAB_KEEP_DENORMALS"
RETURN_MEMORY = "RNN_LAB_RETURN_MEMORY"
MAX_FREE_BYTES = (1 << 31) - 1  # the largest value that mallopt accepts
TRIM_THRESHOLD, MMAP_MAX = -1, -4  # as malloc.h numbers them
GRAIN = 1 << 15  # elements below which PyTorch does not start another thread

log = logging.getLogger(__name__)


def configure_cpu() -> None:
    """Flush denormal numbers to zero, and keep freed memory in the process.

    The gradient of a long sequence shrinks at every step. After some hundred steps it falls below
    the smallest normal float, and a multiplication then takes a CPU up to a hundred times as long.
    The processor holds this setting per thread, and a thread inherits it from the one that starts
    it. PyTorch starts its threads at the first parallel operation: call this function before it.

    A recurrent layer stores tens of megabytes of activations per batch. The C library of Linux
    returns blocks of that size to the system when they are freed, and the system clears each page
    again for the next batch. With this setting the process keeps up to 2 GB of freed memory.

    The command line calls it at its start, and a `Task` in the first hook that a `Trainer` calls.
    Call it yourself before a training loop of your own. It may be called several times. The
    environment variables `RNN_LAB_KEEP_DENORMALS=1` and `RNN_LAB_RETURN_MEMORY=1` switch off the
    one and the other setting.
    """
    if not _is_set(KEEP_DENORMALS):
        torch.set_flush_denormal(True)
    if os.name == "posix" and not _is_set(RETURN_MEMORY):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc alone has it
        if mallopt is not None:
            mallopt(MMAP_MAX, 0)  # large blocks come from the heap, too
            mallopt(TRIM_THRESHOLD, MAX_FREE_BYTES)


def warn_of_denormals() -> None:
    """Log a warning if threads of PyTorch were started before `configure_cpu` was called.

    It starts the threads of this process, so call it only where these will compute.
    """
    if _is_set(KEEP_DENORMALS) or not torch.set_flush_denormal(True):
        return
    numbers = torch.full((2 * GRAIN * torch.get_num_threads(),), 1e-30)
    if (numbers * 1e-10).count_nonzero():
        log.warning(
            "PyTorch started its threads before rnn_lab.configure_cpu() was called, so they do not "
            "flush denormal numbers: call it before the first tensor operation to train faster"
        )


def _is_set(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")
