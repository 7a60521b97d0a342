"""Denormal numbers are read and written as zero on the CPU.

A gradient that runs back through a long text shrinks at every step; after some hundred steps it
falls below the smallest normal float and each multiplication then takes a CPU about a hundred times
as long: training gets 10 to 50 times slower, for numbers that change no weight.

The processor keeps this setting for each thread, and a thread inherits it from the one that starts
it. PyTorch starts its pool of threads at the first parallel operation, so `rnn_lab.nn` has to be
imported before that. Forked processes inherit the setting, spawned ones import the package again.
"""

import os

import torch

KEEP = "RNN_LAB_KEEP_DENORMALS"


def flush_denormals(worker_id: int = 0) -> None:
    """Flush denormals in this thread and those it starts, unless `RNN_LAB_KEEP_DENORMALS` is set.

    Args:
        worker_id: Ignored; lets the function serve as a `DataLoader`'s `worker_init_fn`.
    """
    if os.environ.get(KEEP, "") in ("", "0"):
        torch.set_flush_denormal(True)
