"""What a measurement depends on: versions, processor, threads, kernels."""

import os
import platform
from importlib.metadata import version
from typing import Any

import torch

import rnn_lab
from rnn_lab.core.cpu import KEEP_DENORMALS, RETURN_MEMORY, processor
from rnn_lab.nn.native import library

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
        "rnn_lab": rnn_lab.__version__,
        "torch": torch.__version__,
        "lightning": version("lightning"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "device": device if device == "cpu" else torch.cuda.get_device_name(device),
        "kernels": kernels(),
    }


def threads_title(number: int) -> str:
    """Name a number of threads in the title of a comparison."""
    return "1 thread" if number == 1 else f"{number} threads"
