"""Fused activations for gates that are computed by one matrix product.

With plain autograd the gradient of each gate is a buffer of its own, and all of them are
concatenated before the matrix product can use them. The function here writes each gradient directly
into its slice of one buffer.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from rnn_lab.nn.functional.once_differentiable import once_differentiable

Activation = Literal["sigmoid", "tanh", "one_minus_sigmoid", "softplus_like", "identity"]


def activate(
    preactivations: Tensor, activations: Sequence[Activation], first_step: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Split pre-activations into gates and apply an activation to each.

    Args:
        preactivations: `(time, batch, gates * units)`.
        activations: Activation of each gate; `softplus_like` is the function of that name.
        first_step: Added to the pre-activations of the first step, `(batch, gates * units)`.

    Returns:
        The gates, each `(time, batch, units)`.
    """
    return _Activate.apply(preactivations, tuple(activations), first_step)


def softplus_like(x: Tensor) -> Tensor:
    """Compute `x + 0.5` for positive x and `sigmoid(x)` otherwise, which is always positive.

    It is continuous; its slopes at zero are 1 from above and 0.25 from below.
    """
    return activate(x, ("softplus_like",))[0]


class _Activate(Function):
    @staticmethod
    def forward(
        ctx: Any,
        preactivations: Tensor,
        activations: tuple[Activation, ...],
        first_step: Tensor | None,
    ) -> tuple[Tensor, ...]:
        ctx.activations, ctx.has_first_step = activations, first_step is not None
        chunks = preactivations.chunk(len(activations), -1)
        gates = tuple(_forward(name, x) for name, x in zip(activations, chunks, strict=True))
        if first_step is not None:
            first = (preactivations[0] + first_step).chunk(len(activations), -1)
            for name, gate, x in zip(activations, gates, first, strict=True):
                gate[0] = _forward(name, x)
        ctx.save_for_backward(*gates)
        return gates

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        gates = ctx.saved_tensors
        grad_input = gates[0].new_empty(*gates[0].shape[:-1], sum(gate.size(-1) for gate in gates))
        slices = grad_input.chunk(len(gates), -1)
        for name, gate, grad, out in zip(ctx.activations, gates, grads, slices, strict=True):
            _backward(name, gate, grad, out)
        return grad_input, None, grad_input[0] if ctx.has_first_step else None


def _forward(activation: Activation, x: Tensor) -> Tensor:
    if activation == "tanh":  # by the sigmoid, which torch computes many times faster on a CPU
        return x.mul(2).sigmoid_().mul_(2).sub_(1)
    if activation == "sigmoid":
        return x.sigmoid()
    if activation == "one_minus_sigmoid":
        return x.neg().sigmoid_()
    if activation == "identity":
        return x.clone(memory_format=torch.contiguous_format)
    return x.clamp(max=0).sigmoid_().add_(x.relu())


def _backward(activation: Activation, y: Tensor, grad: Tensor, out: Tensor) -> None:
    """Write the gradient of the input of an activation with output `y` into `out`."""
    if activation == "tanh":
        torch.ops.aten.tanh_backward.grad_input(grad, y, grad_input=out)
    elif activation == "sigmoid":
        torch.ops.aten.sigmoid_backward.grad_input(grad, y, grad_input=out)
    elif activation == "one_minus_sigmoid":
        torch.ops.aten.sigmoid_backward.grad_input(grad.neg(), y, grad_input=out)
    elif activation == "identity":
        out.copy_(grad)
    else:
        # Only vectorized operations, which `where` is not. For y > 0.5 the slope is 1 and `below`
        # is zero; elsewhere the slope is y (1 - y) and the gradient of the threshold is zero.
        below = y - F.threshold(y, 0.5, 0.0)
        torch.ops.aten.sigmoid_backward.grad_input(grad, below, grad_input=out)
        out.add_(torch.ops.aten.threshold_backward(grad, y, 0.5))
