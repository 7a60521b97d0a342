"""What recurrent layers do with the products of a step: the gates, with lean gradients."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


def lstm_gates(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Take a step of an LSTM, `c' = f c + i g` and `h = o tanh(c')`.

    Args:
        gates: Products of input and state in torch's order i, f, g, o, `(batch, 4 * hidden)`.
        c: The cell state before, `(batch, hidden)`.

    Returns:
        h and c after it.
    """
    return _LSTM.apply(gates, c)


def gru_gates(gates: Tensor, again: Tensor, h: Tensor) -> Tensor:
    """Take a step of a GRU, `n = tanh(x_n + r h_n)` and `h' = n + z (h - n)`.

    Args:
        gates: Products of the input in torch's order r, z, n, `(batch, 3 * hidden)`.
        again: Products of the state, in the same order.
        h: The state before, `(batch, hidden)`.

    Returns:
        The state after it.
    """
    return _GRU.apply(gates, again, h)


class _LSTM(Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = gates.chunk(4, 1)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        after = torch.addcmul(f * c, i, g)
        squashed = after.tanh()
        ctx.save_for_backward(i, f, g, o, c, squashed)
        return o * squashed, after

    @staticmethod
    def backward(ctx: Any, to_h: Tensor, to_c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o, c, squashed = ctx.saved_tensors
        to_c = to_c + to_h * o * (1 - squashed * squashed)
        to_gates = torch.cat(
            [
                to_c * g * i * (1 - i),
                to_c * c * f * (1 - f),
                to_c * i * (1 - g * g),
                to_h * squashed * o * (1 - o),
            ],
            1,
        )
        return to_gates, to_c * f


class _GRU(Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, again: Tensor, h: Tensor) -> Tensor:
        size = h.size(1)
        r, z = (gates[:, : 2 * size] + again[:, : 2 * size]).sigmoid_().chunk(2, 1)
        inner = again[:, 2 * size :]
        n = torch.addcmul(gates[:, 2 * size :], r, inner).tanh_()
        ctx.save_for_backward(r, z, n, inner, h)
        return torch.lerp(n, h, z)

    @staticmethod
    def backward(ctx: Any, to_h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r, z, n, inner, h = ctx.saved_tensors
        to_z = to_h * (h - n) * z * (1 - z)
        to_n = to_h * (1 - z) * (1 - n * n)
        to_r = to_n * inner * r * (1 - r)
        return torch.cat([to_r, to_z, to_n], 1), torch.cat([to_r, to_z, to_n * r], 1), to_h * z
