"""Settings of the whole process under which recurrent networks train fast on a CPU."""

import ctypes
import logging
import os
import platform
from pathlib import Path

import torch

from rnn_lab.nn.native.openmp import find_openmp

KEEP_DENORMALS = "RNN_LAB_KEEP_DENORMALS"
RETURN_MEMORY = "RNN_LAB_RETURN_MEMORY"
MAX_FREE_BYTES = (1 << 31) - 1  # the largest value that mallopt accepts
TRIM_THRESHOLD, MMAP_MAX = -1, -4  # as malloc.h numbers them
GRAIN = 1 << 15  # elements below which PyTorch does not use another thread
FENV_BYTES = 256  # more than fenv_t of any platform

log = logging.getLogger(__name__)


def configure_cpu(*, running_threads: bool = False) -> None:
    """Flush denormal numbers to zero, and keep freed memory in the process.

    The gradient of a long sequence shrinks at every step. After some hundred steps it falls below
    the smallest normal float, and a multiplication then takes a CPU up to a hundred times as long.
    The processor holds this setting per thread, and a thread inherits it from the one that starts
    it. PyTorch starts its threads at the first parallel operation: call this function before it, or
    with `running_threads=True` after it.

    A recurrent layer stores tens of megabytes of activations per batch. The C library of Linux
    returns blocks of that size to the system when they are freed, and the system clears each page
    again for the next batch. With this setting the process keeps up to 2 GB of freed memory.

    The command line calls it at its start, and a `Task` in the first hook that a `Trainer` calls.
    Call it yourself before a training loop of your own. It may be called several times. The
    environment variables `RNN_LAB_KEEP_DENORMALS=1` and `RNN_LAB_RETURN_MEMORY=1` switch off the
    one and the other setting.

    Args:
        running_threads: If True, also configure the threads of PyTorch, which are started if they
            are not running: not in a process that forks processes which compute.
    """
    if not _is_set(KEEP_DENORMALS):
        torch.set_flush_denormal(True)
        if running_threads and torch.get_num_threads() > 1 and not _flush_in_threads():
            log.warning(
                "threads that PyTorch has started do not flush denormal numbers: call "
                "rnn_lab.configure_cpu() before the first tensor operation to train faster"
            )
    if os.name == "posix" and not _is_set(RETURN_MEMORY):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc alone has it
        if mallopt is not None:
            mallopt(MMAP_MAX, 0)  # large blocks come from the heap, too
            mallopt(TRIM_THRESHOLD, MAX_FREE_BYTES)


def processor() -> str:
    """Return the name of the processor as the system tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _flush_in_threads() -> bool:
    """Flush denormals in the threads of PyTorch; return whether all of them do.

    GNU OpenMP runs `fesetenv` in each thread, with the floating-point environment of this one.
    """
    openmp = find_openmp()
    if openmp is not None:
        libc = ctypes.CDLL(None)
        environment = ctypes.create_string_buffer(FENV_BYTES)
        libc.fegetenv(environment)
        function = ctypes.cast(libc.fesetenv, ctypes.c_void_p)
        pointer = ctypes.cast(environment, ctypes.c_void_p)
        openmp.GOMP_parallel(function, pointer, torch.get_num_threads(), 0)
    numbers = torch.full((2 * GRAIN * torch.get_num_threads(),), 1e-30)
    return not (numbers * 1e-10).count_nonzero()


def _is_set(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")
