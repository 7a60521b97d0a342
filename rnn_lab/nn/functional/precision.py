"""Dtypes under autocast and of 16-bit weights, on any device."""

from contextlib import AbstractContextManager, nullcontext
from functools import reduce

import torch
from torch import Tensor


def autocast_dtype(x: Tensor) -> torch.dtype | None:
    """Return the dtype in which autocast computes matrix products with `x`; None: it is off."""
    device = "cpu" if x.is_cpu else x.device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return None
    return torch.get_autocast_dtype(device)


def autocast_to(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Return a context in which matrix products are computed in `dtype`, where that exists."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, dtype)
    return nullcontext()


def no_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which autocast is off on a device."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def at_least_float32(x: Tensor) -> Tensor:
    """Convert 16-bit tensors to single precision, in which recurrences are computed."""
    return x.float() if x.dtype.itemsize < 4 else x


def to_common_dtype(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Convert tensors, such as 16-bit products and a float32 state, to the most precise dtype."""
    dtypes = {tensor.dtype for tensor in tensors}
    if len(dtypes) == 1:
        return tensors
    dtype = reduce(torch.promote_types, dtypes)
    return tuple(tensor.to(dtype) for tensor in tensors)
