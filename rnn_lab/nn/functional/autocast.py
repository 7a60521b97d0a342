"""Autocast on any device, also on those that do not support it, such as the meta device."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def autocast_dtype(x: Tensor) -> torch.dtype | None:
    """Return the dtype in which autocast computes matrix products with `x`; None: it is off."""
    device = "cpu" if x.is_cpu else x.device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return None
    return torch.get_autocast_dtype(device)


def no_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which autocast is off on a device."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
