"""Matrix products in single precision on a CPU, computed by oneDNN where PyTorch ships it.

By default PyTorch uses MKL for them, which is slow on AMD processors; oneDNN is what PyTorch's own
recurrent layers use. The results differ only by rounding.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from rnn_lab.nn.functional.once_differentiable import once_differentiable
from rnn_lab.nn.functional.precision import autocast_dtype


def _find_onednn_linear() -> Any:
    """Return oneDNN's linear operator as PyTorch's compiler uses it; None if unavailable."""
    if not torch.backends.mkldnn.is_available():
        return None
    operator = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    try:
        one = torch.ones(1, 1)
        works = operator is not None and operator(one, one, None, "none", [], "") == 1
    except (RuntimeError, TypeError):  # the arguments differ between releases
        return None
    return operator if works else None


_onednn = _find_onednn_linear()


def linear_nograd(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute `x weight^T + bias` without a gradient.

    Args:
        x: `(..., input)`.
        weight: `(output, input)`, with any strides.
        bias: `(output,)`.
    """
    single = x.dtype == weight.dtype == torch.float32
    if _onednn is None or not x.is_cpu or not single or not x.numel():
        return F.linear(x, weight, bias)
    return _onednn(_dense(x), _dense(weight), bias, "none", [], "")


def prepacked_linear(weight: Tensor, batch_size: int) -> Callable[[Tensor], Tensor]:
    """Return a function `x -> x weight^T` for many steps, without a gradient.

    Args:
        weight: `(output, input)`; it is reordered into oneDNN's layout once.
        batch_size: Rows of each `x`.
    """
    if _onednn is None or not weight.is_cpu or weight.dtype != torch.float32:
        return lambda x: linear_nograd(x, weight)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), batch_size)
    return lambda x: _onednn(x, packed, None, "none", [], "")


def _dense(x: Tensor) -> Tensor:
    """Copy tensors that are neither contiguous nor transposed: oneDNN is very slow on slices."""
    transposed = x.dim() == 2 and x.t().is_contiguous()
    return x if transposed else x.contiguous()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute `torch.nn.functional.linear` by oneDNN, any number of times differentiable.

    With 16-bit weights the input is converted to their dtype.
    """
    if x.dtype != weight.dtype and weight.dtype.itemsize < 4:
        x = x.to(weight.dtype)
    if not x.is_cpu or torch.is_autocast_enabled("cpu"):
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled():
        return _Linear.apply(x, weight, bias)
    return linear_nograd(x, weight, bias)


class Linear(nn.Linear):
    """A `torch.nn.Linear` with the same parameters that uses the function `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        """Map `(..., in_features)` to `(..., out_features)`."""
        return linear(input, self.weight, self.bias)


class _Linear(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        return linear_nograd(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        flat = grad.flatten(0, -2)
        if torch.is_grad_enabled():  # a graph of the gradient is requested: differentiable products
            grad_weight = flat.t() @ x.flatten(0, -2)
            return grad @ weight, grad_weight, flat.sum(0) if ctx.has_bias else None
        grad_x = linear_nograd(grad, weight.t()) if ctx.needs_input_grad[0] else None
        grad_weight = weight_gradient(flat, x.flatten(0, -2)) if ctx.needs_input_grad[1] else None
        return grad_x, grad_weight, flat.sum(0) if ctx.has_bias else None


def weight_gradient(grad: Tensor, x: Tensor) -> Tensor:
    """Compute the gradient of a weight matrix; the result itself has no gradient.

    OneDNN is faster with the narrower matrix as the left factor, much faster for few inputs.

    Args:
        grad: Gradient of the output, `(rows, output)`.
        x: Input of the linear map, `(rows, input)`.

    Returns:
        `grad^T x`, `(output, input)`.
    """
    if grad.size(1) > x.size(1):
        return linear_nograd(x.t(), grad.t()).t()
    return linear_nograd(grad.t(), x.t())


class DeferredLinear:
    """A linear map applied many times in a loop; its weight gradient is computed once at the end.

    Under autocast products are computed in the autocast dtype and added in single precision.

    Args:
        weight: Weight matrix, `(output, input)`.
        bias: Added where a call passes no base, `(output,)`.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.bias = bias
        self.weight = weight.detach().to(autocast_dtype(weight) or weight.dtype)
        self.uses: list[tuple[Tensor, Tensor]] = []
        self.anchor = _WeightGradient.apply(weight, self.uses)

    def __call__(self, x: Tensor, base: Tensor | None) -> Tensor:
        """Map `(batch, input)` to `(batch, output)` and add the base, by default the bias."""
        base = self.bias.expand(len(x), -1) if base is None else base
        return _DeferredLinear.apply(base, x, self.anchor, self.weight, self.uses)


class _WeightGradient(Function):
    """Anchor of all uses of a weight: its backward pass runs last and computes the gradient."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, uses: list[tuple[Tensor, Tensor]]) -> Tensor:
        ctx.uses, ctx.dtype = uses, weight.dtype
        return weight.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_anchor: Tensor) -> tuple[Tensor, None]:
        x, grad = (torch.cat(tensors) for tensors in zip(*ctx.uses, strict=True))
        ctx.uses.clear()
        return weight_gradient(grad, x).to(ctx.dtype), None


class _DeferredLinear(Function):
    """One use of a weight: its backward pass records input and gradient for `_WeightGradient`."""

    @staticmethod
    def forward(
        ctx: Any, base: Tensor, x: Tensor, anchor: Tensor, weight: Tensor, uses: list[Any]
    ) -> Tensor:
        ctx.uses, ctx.dtypes = uses, (base.dtype, x.dtype)
        x = x.to(weight.dtype)
        ctx.save_for_backward(x, weight)
        product = linear_nograd(x, weight)
        return product.float().add_(base) if product.dtype.itemsize < 4 else product.add_(base)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        cast_grad = grad.to(weight.dtype)
        ctx.uses.append((x, cast_grad))
        grad_x = linear_nograd(cast_grad, weight.t()).to(ctx.dtypes[1])
        return grad.to(ctx.dtypes[0]), grad_x, grad.new_zeros(()), None, None
