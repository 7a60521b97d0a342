"""What a measurement depends on: versions, processor, threads, kernels."""

import os
from typing import Any

import torch

from rnn_lab.core.cpu import KEEP_DENORMALS, RETURN_MEMORY
from rnn_lab.nn.native import library
from rnn_lab.training.cost import environment

# Environment variables of processes.
PLAIN = {library.VARIABLE: "0"}  # without compiled kernels
AS_SHIPPED = {KEEP_DENORMALS: "1", RETURN_MEMORY: "1"}  # with PyTorch's settings of the CPU


def kernels() -> str:
    """Name the kernels that recurrent layers use in this process, or why none are compiled."""
    if library.load() is not None:
        return library.kernel_version()
    return f"plain PyTorch: {library.find().reason}"


def machine(device: str) -> dict[str, Any]:
    """Describe versions and hardware, as they are written to files.

    Args:
        device: Device on which is computed.
    """
    return {
        **environment(torch.device(device)),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "kernels": kernels(),
    }


def threads_title(number: int) -> str:
    """Name a number of threads in the title of a comparison."""
    return "1 thread" if number == 1 else f"{number} threads"
