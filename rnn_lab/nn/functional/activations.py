"""Activations of many gates that come side by side from one product, with one buffer for gradients.

Taken apart by autograd, each gate's gradient is a buffer of its own, and all of them are copied
together before the product can use them; these write straight to where that gradient belongs.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def activate(products: Tensor, kinds: str, past: Tensor | None = None) -> tuple[Tensor, ...]:
    """Split products into gates and apply an activation to each.

    Args:
        products: `(time, batch, gates * units)`.
        kinds: What to apply to each gate: names from "sigmoid", "tanh", "positive" (see there),
            "shut" (one minus the sigmoid) and "same" (none), between spaces.
        past: What is added to the products of the first step, `(batch, gates * units)`.

    Returns:
        The gates, each `(time, batch, units)`.
    """
    return _Activate.apply(products, kinds, past)


def positive(x: Tensor) -> Tensor:
    """Give `x + 0.5` above zero and the sigmoid below, which meet there with slopes 1 and 0.25."""
    return activate(x, "positive")[0]


class _Activate(Function):
    @staticmethod
    def forward(ctx: Any, products: Tensor, kinds: str, past: Tensor | None) -> tuple[Tensor, ...]:
        ctx.kinds, ctx.past = kinds.split(), past is not None
        gates = products.chunk(len(ctx.kinds), -1)
        made = tuple(_forwards(kind, gate) for kind, gate in zip(ctx.kinds, gates, strict=True))
        if past is not None:
            first = (products[0] + past).chunk(len(ctx.kinds), -1)
            for kind, gate, start in zip(ctx.kinds, made, first, strict=True):
                gate[0] = _forwards(kind, start)
        ctx.save_for_backward(*made)
        return made

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        made = ctx.saved_tensors
        to_products = made[0].new_empty(*made[0].shape[:-1], sum(gate.size(-1) for gate in made))
        places = to_products.chunk(len(made), -1)
        for kind, gate, grad, place in zip(ctx.kinds, made, grads, places, strict=True):
            _backwards(kind, gate, grad, place)
        return to_products, None, to_products[0] if ctx.past else None


def _forwards(kind: str, x: Tensor) -> Tensor:
    if kind == "tanh":  # by the sigmoid, which torch computes many times faster on a CPU
        return x.mul(2).sigmoid_().mul_(2).sub_(1)
    if kind == "sigmoid":
        return x.sigmoid()
    if kind == "shut":
        return x.neg().sigmoid_()
    if kind == "same":
        return x.clone(memory_format=torch.contiguous_format)
    return x.clamp(max=0).sigmoid_().add_(x.relu())


def _backwards(kind: str, y: Tensor, grad: Tensor, place: Tensor) -> None:
    """Write the gradient of an activation of which the result is known."""
    if kind == "tanh":
        torch.ops.aten.tanh_backward.grad_input(grad, y, grad_input=place)
    elif kind == "sigmoid":
        torch.ops.aten.sigmoid_backward.grad_input(grad, y, grad_input=place)
    elif kind == "shut":
        torch.ops.aten.sigmoid_backward.grad_input(grad.neg(), y, grad_input=place)
    elif kind == "same":
        place.copy_(grad)
    else:
        # By what is vectorized, which `where` is not: where y > 0.5 the slope is one and `below`
        # zero, elsewhere the slope is y (1 - y) and the gradient of the threshold zero.
        below = y - F.threshold(y, 0.5, 0.0)
        torch.ops.aten.sigmoid_backward.grad_input(grad, below, grad_input=place)
        place.add_(torch.ops.aten.threshold_backward(grad, y, 0.5))
