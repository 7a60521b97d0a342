"""Time, peak memory, and the rate at which a machine multiplies matrices."""

import ctypes
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rnn_lab.nn.functional.linear import linear_nograd
from rnn_lab.nn.native import library

MIN_SECONDS = 0.003  # of a timed product, which is repeated until then
INTERVAL = 0.02  # seconds between two looks at the memory
RESET_PEAK = "5"  # as /proc/PID/clear_refs expects it
TRAINING_PRODUCTS = 3  # forward, gradient of the input, gradient of the weights
Run = Callable[[], object]


def synchronize(device: str) -> None:
    """Wait until a device has computed everything."""
    if device != "cpu":
        torch.cuda.synchronize(device)


def timed(run: Run, device: str = "cpu") -> float:
    """Run a function and return its seconds."""
    synchronize(device)
    start = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - start


def peak_megabytes(run: Run, device: str = "cpu") -> float | None:
    """Return the additional memory that a run holds at its peak, in megabytes.

    Args:
        run: The function to run.
        device: Device whose memory is measured; on a CPU, that of this process.

    Returns:
        The difference to the memory before; None where the system does not tell.
    """
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        synchronize(device)
        return (torch.cuda.max_memory_allocated(device) - before) / 1e6
    _return_free_memory()
    try:
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)
        before = _status_bytes("VmRSS")
        run()
        return max(0, _status_bytes("VmHWM") - before) / 1e6
    except OSError:  # another system, or a container without these files
        return None


class AnonymousMemory:
    """Context that measures the additional anonymous memory of this process at its peak.

    A thread looks at it at short intervals; pages of mapped files are not counted.

    Attributes:
        megabytes: The difference to the memory before; None where the system does not tell.
    """

    def __init__(self) -> None:
        self.megabytes: float | None = None
        self._ended = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        _return_free_memory()
        try:
            self._before = _status_bytes("RssAnon")
        except OSError:
            return self
        self.megabytes = 0.0
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        if self.megabytes is not None:
            self._thread.join()

    def _watch(self) -> None:
        while True:
            ended = self._ended.wait(INTERVAL)
            now = (_status_bytes("RssAnon") - self._before) / 1e6
            self.megabytes = max(self.megabytes or 0.0, now)
            if ended:
                return


def _return_free_memory() -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:  # glibc alone has it
        trim(0)


def _status_bytes(field: str) -> int:
    """Return an entry of the memory of this process, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {field}")


class MatrixProducts:
    """Matrix products of some shapes, whose best rate is the measure of other computations.

    Each product is computed by PyTorch's default library and by oneDNN, which may be faster.

    Args:
        shapes: Rows, inner size and columns of each product.
        bfloat16: Whether the factors are in bfloat16.
        device: Device of the factors.
    """

    def __init__(
        self, shapes: Sequence[Sequence[int]], bfloat16: bool = False, device: str = "cpu"
    ) -> None:
        dtype = torch.bfloat16 if bfloat16 else torch.float32
        self.device = device
        self.products: list[tuple[float, Run]] = []
        for rows, inner, columns in shapes:
            x = torch.randn(rows, inner, device=device).to(dtype)
            weight = torch.randn(columns, inner, device=device).to(dtype)
            flops = 2.0 * rows * inner * columns
            self.products += [(flops, run) for run in _ways_to_multiply(x, weight)]

    def best_rate(self) -> float:
        """Measure each product once; return the floating-point operations per second."""
        return max(flops / self._seconds(run) for flops, run in self.products)

    def _seconds(self, run: Run) -> float:
        run()
        times: list[float] = []
        while not times or sum(times) < MIN_SECONDS:
            times.append(timed(run, self.device))
        return min(times)


def _ways_to_multiply(x: Tensor, weight: Tensor) -> list[Run]:
    def multiply() -> Tensor:
        return x @ weight.t()

    def multiply_by_onednn() -> Tensor:
        return linear_nograd(x, weight)

    return [multiply, multiply_by_onednn]


def counted_flops(run: Run) -> int:
    """Count the floating-point operations in the matrix products of a run, without kernels."""
    mapping: dict[Any, Any] = {torch.ops.aten.mkldnn_rnn_layer: _layer_flops}
    onednn = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if onednn is not None:
        mapping[onednn] = _linear_flops
    with library.disabled(), FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        run()
    return int(counter.get_total_flops())


def _linear_flops(x: Sequence[int], weight: Sequence[int], *_: object, **__: object) -> int:
    return 2 * math.prod(x) * weight[0]


def _layer_flops(
    x: Sequence[int], w_ih: Sequence[int], w_hh: Sequence[int], *_: object, **__: object
) -> int:
    return 2 * math.prod(x[:2]) * (math.prod(w_ih) + math.prod(w_hh))


def training_flops(layer: nn.Module) -> float:
    """Return the floating-point operations of a layer in training, per step of a sequence.

    They are those of the products with weight matrices in forward and backward pass: each weight is
    multiplied and added once in each of three products. Elementwise operations and the products
    of `MLSTM` with its memory are not counted.
    """
    weights = sum(each.numel() for each in layer.parameters() if each.dim() > 1)
    return 2.0 * TRAINING_PRODUCTS * weights
