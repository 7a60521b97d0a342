"""The compiled library: where it is, whether it may be used, and the arguments of its functions."""

import ctypes
import hashlib
import logging
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from rnn_lab.io.cache import entry_path, find_damage
from rnn_lab.nn.native.openmp import find_openmp

log = logging.getLogger(__name__)
SOURCES = Path(__file__).parent
LIBRARY = "kernels.so"  # file name in the cache, on every platform
VARIABLE = "RNN_LAB_NATIVE"  # 0: plain PyTorch; a path: that library
NOT_BUILT = "they are not built"
MAX_STATES = 4  # as in recurrence.h

Pointers = ctypes.c_void_p * MAX_STATES


class Batch(ctypes.Structure):
    """The structure of that name in sequences.h."""

    _fields_ = [
        ("time", ctypes.c_int64),
        ("batch", ctypes.c_int64),
        ("lengths", ctypes.c_void_p),
        ("backwards", ctypes.c_int64),
    ]


class Sequences(ctypes.Structure):
    """The structure of that name in sequences.h."""

    _fields_ = [
        ("values", ctypes.c_void_p),
        ("time_stride", ctypes.c_int64),
        ("batch_stride", ctypes.c_int64),
    ]


class Inputs(ctypes.Structure):
    """The structure of that name in projection.h."""

    _fields_ = [
        ("features", ctypes.c_int64),
        ("windows", ctypes.c_int64),
        ("weight", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("x", Sequences),
        ("of_x", Sequences),
    ]


class Layer(ctypes.Structure):
    """The structure of that name in recurrence.h."""

    _fields_ = [
        ("units", ctypes.c_int64),
        ("threads", ctypes.c_int64),
        ("keep", ctypes.c_int64),
        ("weight", ctypes.c_void_p),
        ("parameters", ctypes.c_void_p),
        ("gates", ctypes.c_void_p),
        ("saved", ctypes.c_void_p),
        ("states", Pointers),
        ("first", Pointers),
        ("last", Pointers),
        ("grads", Pointers),
        ("grad_last", Pointers),
        ("grad_first", Pointers),
        ("grad_parameters", ctypes.c_void_p),
        ("grad_time", ctypes.c_int64),
        ("grad_batch", ctypes.c_int64),
        ("zoneout", ctypes.c_double),
        ("masks", Pointers),
        ("mask_step", ctypes.c_int64),
        ("inputs", Inputs),
    ]


class Attention(ctypes.Structure):
    """The structure of that name in attention.h."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("time", "steps", "size", "features")),
        *(
            (name, ctypes.c_void_p)
            for name in (
                *("lengths", "keys", "values", "weight", "bias", "v"),
                *("queries", "weights", "contexts", "of_weights", "of_queries", "of_scores"),
                *("of_contexts", "of_keys", "of_values", "of_v"),
            )
        ),
    ]


class DecoderLayer(ctypes.Structure):
    """The structure of that name in decoder.h."""

    _fields_ = [
        ("layer", Layer),
        ("inputs", ctypes.c_int64),
        ("stride", ctypes.c_int64),
        ("weight", ctypes.c_void_p),
        ("mask", ctypes.c_void_p),
    ]


class Decoder(ctypes.Structure):
    """The structure of that name in decoder.h."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("batch", "threads", "depth")),
        ("attention", Attention),
        ("layers", ctypes.POINTER(DecoderLayer)),
        ("fed", ctypes.c_int64),
        ("stride", ctypes.c_int64),
        *(
            (name, ctypes.c_void_p)
            for name in ("readout_weight", "first", "grad_last", "grad_first", "readouts")
        ),
    ]


@dataclass(frozen=True)
class Status:
    """Which kernels this process uses.

    Attributes:
        path: The compiled library; None if plain PyTorch is used.
        reason: Why plain PyTorch is used; empty if the library is.
    """

    path: Path | None
    reason: str


def cache_folder() -> Path:
    """Return the folder of compiled libraries, which belongs to the user."""
    return user_cache_path("rnn_lab") / "kernels"


def cache_key() -> dict[str, str]:
    """Return all that a compiled library depends on but the compiler, which may be absent here."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.glob("*.cpp")) + sorted(SOURCES.glob("*.h")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return {"sources": digest.hexdigest(), "system": sys.platform, "processor": _processor()}


def _processor() -> str:
    """Describe the instructions of the CPU: a library for others could not run."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    features = next((x for x in lines if x.startswith(("flags", "Features"))), "")
    names = " ".join(sorted(features.partition(":")[2].split())) or platform.processor()
    return f"{platform.machine()} {hashlib.sha256(names.encode()).hexdigest()[:16]}"


def refusal(folder: Path) -> str:
    """Say why a cache folder is not trusted: others could have put a library there."""
    if os.name != "posix":
        return ""
    status = folder.stat()
    if status.st_uid != os.getuid():
        return f"{folder} belongs to another user"
    return f"{folder} can be written by other users" if status.st_mode & 0o022 else ""


@cache
def find() -> Status:
    """Look for a library that was compiled for these sources and this CPU; load nothing."""
    chosen = os.environ.get(VARIABLE, "")
    if chosen == "0":
        return Status(None, f"{VARIABLE}=0")
    if chosen not in ("", "1"):
        return Status(Path(chosen), "")
    folder = cache_folder()
    if not folder.is_dir():
        return Status(None, NOT_BUILT)
    reason = refusal(folder)
    entry = entry_path(folder, cache_key())
    if not reason and not entry.is_dir():
        others = any(path.is_dir() for path in folder.iterdir())
        built = "they were built for another version of rnn_lab or another CPU"
        return _warned(f"{built}: run rnn-lab kernels build") if others else Status(None, NOT_BUILT)
    reason = reason or refusal(entry) or find_damage(entry)
    return _warned(reason) if reason else Status(entry / LIBRARY, "")


def _warned(reason: str) -> Status:
    log.warning("the compiled kernels are not used: %s", reason)
    return Status(None, reason)


def kernel_version() -> str:
    """Return which kernels compute the layers in this process: `plain` or those of some sources."""
    return "plain" if load() is None else f"compiled {cache_key()['sources'][:12]}"


@cache
def load() -> ctypes.CDLL | None:
    """Return the library of this process; None: plain PyTorch is used."""
    path = find().path
    if path is None:
        return None
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        _warned(f"{path} cannot be loaded: {error}")
        return None
    openmp = find_openmp()
    if openmp is not None:
        library.rnn_lab_set_openmp(openmp.GOMP_parallel)
    return library


_enabled = [True]


@contextmanager
def disabled() -> Iterator[None]:
    """Use plain PyTorch within a block, for comparisons."""
    before, _enabled[0] = _enabled[0], False
    try:
        yield
    finally:
        _enabled[0] = before


def function(name: str) -> Any:
    """Return a function of the library; None: plain PyTorch is used."""
    library = load() if _enabled[0] else None
    return None if library is None else getattr(library, f"rnn_lab_{name}", None)
