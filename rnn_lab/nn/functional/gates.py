"""Elementwise updates of LSTM and GRU steps, with gradients that store few tensors."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from rnn_lab.nn.functional.once_differentiable import once_differentiable
from rnn_lab.nn.functional.precision import to_common_dtype


def lstm_gates(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the LSTM update `c' = f c + i g` and `h' = o tanh(c')`.

    Args:
        gates: Pre-activations in torch's order i, f, g, o, `(batch, 4 * hidden)`.
        c: Previous cell state, `(batch, hidden)`.

    Returns:
        The new h and c.
    """
    return _LSTM.apply(*to_common_dtype(gates, c))


def gru_gates(x_gates: Tensor, h_gates: Tensor, h: Tensor) -> Tensor:
    """Compute the GRU update `n = tanh(x_n + r h_n)` and `h' = n + z (h - n)`.

    Args:
        x_gates: Projected input in torch's order r, z, n, `(batch, 3 * hidden)`.
        h_gates: Projected state, in the same order.
        h: Previous state, `(batch, hidden)`.

    Returns:
        The new state.
    """
    return _GRU.apply(*to_common_dtype(x_gates, h_gates, h))


class _LSTM(Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = gates.chunk(4, 1)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        new_c = torch.addcmul(f * c, i, g)
        tanh_c = new_c.tanh()
        ctx.save_for_backward(i, f, g, o, c, tanh_c)
        return o * tanh_c, new_c

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_h: Tensor, grad_c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o, c, tanh_c = ctx.saved_tensors
        grad_c = grad_c + grad_h * o * (1 - tanh_c * tanh_c)
        grad_gates = torch.cat(
            [
                grad_c * g * i * (1 - i),
                grad_c * c * f * (1 - f),
                grad_c * i * (1 - g * g),
                grad_h * tanh_c * o * (1 - o),
            ],
            1,
        )
        return grad_gates, grad_c * f


class _GRU(Function):
    @staticmethod
    def forward(ctx: Any, x_gates: Tensor, h_gates: Tensor, h: Tensor) -> Tensor:
        size = h.size(1)
        r, z = (x_gates[:, : 2 * size] + h_gates[:, : 2 * size]).sigmoid_().chunk(2, 1)
        h_n = h_gates[:, 2 * size :]
        n = torch.addcmul(x_gates[:, 2 * size :], r, h_n).tanh_()
        ctx.save_for_backward(r, z, n, h_n, h)
        return torch.lerp(n, h, z)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r, z, n, h_n, h = ctx.saved_tensors
        grad_z = grad_h * (h - n) * z * (1 - z)
        grad_n = grad_h * (1 - z) * (1 - n * n)
        grad_r = grad_n * h_n * r * (1 - r)
        grad_x_gates = torch.cat([grad_r, grad_z, grad_n], 1)
        return grad_x_gates, torch.cat([grad_r, grad_z, grad_n * r], 1), grad_h * z
