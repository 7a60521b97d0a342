"""Quasi-recurrent network (QRNN): gates from a window of the input."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from rnn_lab.nn.functional.activations import activate
from rnn_lab.nn.functional.linear import linear
from rnn_lab.nn.functional.padding import Rows
from rnn_lab.nn.functional.scan import blend
from rnn_lab.nn.functional.state import Parts
from rnn_lab.nn.layers.scan_core import ScanCore, single
from rnn_lab.nn.layers.stack import StackedRNN


class QRNNCore(ScanCore):
    """One layer and direction of a `QRNN`.

    Args:
        input_size: Features of a step.
        hidden_size: Units.
        window: Steps of the input that a gate sees, 1 or 2.
    """

    droppable = ("weight",)

    def __init__(self, input_size: int, hidden_size: int, *, window: int = 2) -> None:
        super().__init__(input_size, hidden_size)
        if window not in (1, 2):
            raise ValueError(f"window must be 1 or 2, got {window}")
        self.window = window
        self.weight = nn.Parameter(torch.empty(3 * hidden_size, window * input_size))
        self.bias = nn.Parameter(torch.empty(3 * hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights by Glorot, gate by gate; biases are zero."""
        for gate in self.weight.split(self.hidden_size):
            nn.init.xavier_uniform_(gate)
        nn.init.zeros_(self.bias)

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The cell state and, of a window of two, what the last input adds to the next gates.

        Products instead of inputs, because they are as wide in every layer.
        """
        cell = (self.hidden_size,)
        return (cell,) if self.window == 1 else (cell, (3 * self.hidden_size,))

    def forward(self, x: Tensor, state: Parts, rows: Rows | None) -> tuple[Tensor, Parts]:
        """Read all steps, see `Core`."""
        pairs, past = (x, None) if self.window == 1 else (_Pairs.apply(x), state[1])
        products = single(linear(pairs, self.weight, self.bias))
        moved, stays, out = activate(products, "tanh sigmoid sigmoid", past)
        c, last = blend(self.held(stays), moved, state[0].to(moved), rows)
        if self.window == 1:
            return out * c, (last,)
        return out * c, (last, self._past(rows.last(x) if rows else x[-1]))

    def _past(self, x: Tensor) -> Tensor:
        """What an input adds to the gates of the step after it."""
        return single(linear(x, self.weight[:, : self.input_size]))


class QRNN(StackedRNN):
    """Gates from a window of the input and a pool over time: `c = f c + (1 - f) z`, `h = o c`.

    The input is convolved over `window` steps, nothing before the first step, and pooled by forget
    and output gates (fo-pooling).

    Source: Bradbury et al. (2017), https://arxiv.org/abs/1611.01576, section 2.
    """

    core = QRNNCore
    year, cost, parallel = 2017, "6HD", True


class _Pairs(Function):
    """Put the input of the step before, zero for the first, in front of each input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        size = x.size(-1)
        pairs = x.new_empty(*x.shape[:-1], 2 * size)
        pairs[0, :, :size], pairs[1:, :, :size], pairs[..., size:] = 0, x[:-1], x
        return pairs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        before, now = grad.chunk(2, -1)
        to_x = now.clone(memory_format=torch.contiguous_format)
        to_x[:-1] += before[1:]
        return to_x
