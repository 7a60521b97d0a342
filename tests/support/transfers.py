"""Record copies from the CPU to another device, with the meta device in the place of a GPU.

On the meta device whatever makes the CPU wait for a value, such as `item`, `nonzero` and a
selection by a mask, raises an error.
"""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class Transfers(TorchDispatchMode):
    """Collect the copies between devices while it is active.

    Attributes:
        blocking: Shapes of tensors that were copied while the CPU waited.
        queued: Shapes of tensors that were copied without waiting.
    """

    def __init__(self) -> None:
        super().__init__()
        self.blocking: list[tuple[int, ...]] = []
        self.queued: list[tuple[int, ...]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func in COPIES:
            tensors = [x for x in (*tree_leaves(args), result) if isinstance(x, torch.Tensor)]
            if len({tensor.device for tensor in tensors}) > 1:
                queued = kwargs.get("non_blocking", args[2:] == (True,))
                (self.queued if queued else self.blocking).append(tuple(result.shape))
        return result
