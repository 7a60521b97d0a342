"""Matrix products in single precision on a CPU, by the fastest library that PyTorch brings along.

PyTorch gives them to MKL, which is slow on AMD's processors; oneDNN is there, too, and is what
PyTorch's own recurrent layers use. The results differ by rounding alone.
"""

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
        to_weight = product(flat.t(), x.flatten(0, -2).t()) if ctx.needs_input_grad[1] else None
        return to_x, to_weight, flat.sum(0) if ctx.biased else None
