"""Matrix products in single precision on a CPU, by the fastest library that PyTorch brings along.

PyTorch gives them to MKL, which is slow on AMD's processors; oneDNN is there, too, and is what
PyTorch's own recurrent layers use. The results differ by rounding alone.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def _find() -> Any:
    """OneDNN's product as PyTorch's own compiler calls it; None where it is missing."""
    if not torch.backends.mkldnn.is_available():
        return None
    found = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    try:
        one = torch.ones(1, 1)
        return found if found is not None and found(one, one, None, "none", [], "") == 1 else None
    except (RuntimeError, TypeError):  # another release takes other arguments
        return None


_onednn = _find()


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Give `x weight^T + bias` without a gradient.

    Args:
        x: `(..., input)`.
        weight: `(output, input)`, of any strides.
        bias: `(output,)`.
    """
    single = x.dtype == weight.dtype == torch.float32
    if _onednn is None or x.device.type != "cpu" or not single or not x.numel():
        return F.linear(x, weight, bias)
    return _onednn(_dense(x), _dense(weight), bias, "none", [], "")


def with_weight(weight: Tensor, batch: int) -> Callable[[Tensor], Tensor]:
    """Give `x -> x weight^T` for many steps, without a gradient.

    Args:
        weight: `(output, input)`; it is brought into oneDNN's order once.
        batch: Rows of each `x`.
    """
    if _onednn is None or not weight.is_cpu or weight.dtype != torch.float32:
        return lambda x: product(x, weight)
    ordered = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), batch)
    return lambda x: _onednn(x, ordered, None, "none", [], "")


def _dense(x: Tensor) -> Tensor:
    """Copy what is neither in order nor turned, such as a slice: there oneDNN is very slow."""
    turned = x.dim() == 2 and x.t().is_contiguous()
    return x if turned else x.contiguous()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Give what `torch.nn.functional.linear` gives, with its gradient, once differentiable."""
    if torch.is_autocast_enabled(x.device.type) or x.device.type != "cpu":
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled():
        return _Product.apply(x, weight, bias)
    return product(x, weight, bias)


class Linear(nn.Linear):
    """A linear layer, see `linear`; its parameters are those of torch's."""

    def forward(self, input: Tensor) -> Tensor:
        """Map `(..., in_features)` to `(..., out_features)`."""
        return linear(input, self.weight, self.bias)


class _Product(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.biased = bias is not None
        return product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        flat = grad.flatten(0, -2)
        to_x = product(grad, weight.t()) if ctx.needs_input_grad[0] else None
        to_weight = weight_gradient(flat, x.flatten(0, -2)) if ctx.needs_input_grad[1] else None
        return to_x, to_weight, flat.sum(0) if ctx.biased else None


def weight_gradient(grad: Tensor, x: Tensor) -> Tensor:
    """Give the gradient of a weight without a gradient of its own.

    OneDNN is faster with the narrower side in its rows, far so for few inputs.

    Args:
        grad: Gradient of the products, `(rows, output)`.
        x: What was multiplied, `(rows, input)`.

    Returns:
        `grad^T x`, `(output, input)`.
    """
    if grad.size(1) > x.size(1):
        return product(x.t(), grad.t()).t()
    return product(grad.t(), x.t())


class Weights:
    """A linear map that a loop uses many times; its gradient is taken once, after the loop.

    Under autocast products are made in its type, and summed up in single precision.

    Args:
        weight: The matrix, `(output, input)`.
        bias: What is added where a step brings no base of its own, `(output,)`.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.bias = bias
        kind = weight.device.type
        rough = torch.is_autocast_enabled(kind)
        self.cast = weight.detach().to(torch.get_autocast_dtype(kind) if rough else weight.dtype)
        self.used: list[tuple[Tensor, Tensor]] = []
        self.token = _Gather.apply(weight, self.used)

    def __call__(self, x: Tensor, base: Tensor | None) -> Tensor:
        """Map `(batch, input)` to `(batch, output)` and add the base."""
        base = self.bias.expand(len(x), -1) if base is None else base
        return _Use.apply(base, x, self.token, self.cast, self.used)


class _Gather(Function):
    """The end of all uses of a matrix: knows nothing forwards, takes its gradient backwards."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, used: list[tuple[Tensor, Tensor]]) -> Tensor:
        ctx.used, ctx.dtype = used, weight.dtype
        return weight.new_zeros(())

    @staticmethod
    def backward(ctx: Any, token: Tensor) -> tuple[Tensor, None]:
        x, grad = (torch.cat(parts) for parts in zip(*ctx.used, strict=True))
        ctx.used.clear()
        return weight_gradient(grad, x).to(ctx.dtype), None


class _Use(Function):
    """One use of a matrix: leaves what its gradient needs with the others."""

    @staticmethod
    def forward(
        ctx: Any, base: Tensor, x: Tensor, token: Tensor, weight: Tensor, used: list[Any]
    ) -> Tensor:
        ctx.used, ctx.dtypes = used, (base.dtype, x.dtype)
        x = x.to(weight.dtype)
        ctx.save_for_backward(x, weight)
        made = product(x, weight)
        return made.float().add_(base) if made.dtype.itemsize < 4 else made.add_(base)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        rough = grad.to(weight.dtype)
        ctx.used.append((x, rough))
        to_x = product(rough, weight.t()).to(ctx.dtypes[1])
        return grad.to(ctx.dtypes[0]), to_x, grad.new_zeros(()), None, None
