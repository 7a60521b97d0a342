"""The OpenMP library whose threads PyTorch uses."""

import ctypes
from pathlib import Path


def find_openmp() -> ctypes.CDLL | None:
    """Return PyTorch's GNU OpenMP, with the arguments of `GOMP_parallel`; None: it uses another.

    Other packages may bring an OpenMP of their own, with its own threads.
    """
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    paths = sorted({line.split()[-1] for line in lines if "libgomp" in line and "torch" in line})
    if not paths:
        return None
    library = ctypes.CDLL(paths[0])
    pointers = ctypes.c_void_p, ctypes.c_void_p
    library.GOMP_parallel.argtypes = [*pointers, ctypes.c_uint, ctypes.c_uint]
    return library
