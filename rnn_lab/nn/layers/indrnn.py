"""Independently recurrent network (IndRNN): cell, kernel and layer."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from rnn_lab.nn.functional.linear import linear
from rnn_lab.nn.functional.state import Parts
from rnn_lab.nn.functional.step_kernels import (
    Grad,
    linear_backward,
    run_kernel,
    save_states,
    state_buffer,
    time_chunks,
)
from rnn_lab.nn.layers.cell import Cell
from rnn_lab.nn.layers.stack import Core
from rnn_lab.nn.layers.unrolled import Unrolled, UnrolledCore


class IndRNNCell(Cell):
    """Independent units: `h' = relu(W x + u h + b)`, each with one recurrent weight of its own.

    Source: Li et al. (2018), https://arxiv.org/abs/1803.04831.

    Args:
        input_size: Features of a step.
        hidden_size: Units.
        longest: Steps of the longest rows; recurrent weights stay within `2^(1 / longest)`, so
            that no unit more than doubles what it holds. None: without bounds.
    """

    droppable = ("weight_ih",)

    def __init__(self, input_size: int, hidden_size: int, *, longest: int | None = None) -> None:
        if longest is not None and longest < 1:
            raise ValueError(f"longest must be at least 1, got {longest}")
        super().__init__(input_size, hidden_size)
        self.longest = longest
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(hidden_size))
        self.reset_parameters()

    @property
    def bound(self) -> float:
        """The largest size of a recurrent weight."""
        return math.inf if self.longest is None else 2 ** (1 / self.longest)

    def reset_parameters(self) -> None:
        """Start with memories of all lengths, for a last layer see `remember`."""
        nn.init.kaiming_uniform_(self.weight_ih, nonlinearity="relu")
        nn.init.zeros_(self.bias_ih)
        nn.init.uniform_(self.weight_hh, 0, 1)

    def remember(self) -> None:
        """Start with long memories only: weights that keep at least half over `longest` steps."""
        if self.longest is None:
            nn.init.uniform_(self.weight_hh, 0.99, 1)
        else:
            nn.init.uniform_(self.weight_hh, 1 / self.bound, self.bound)

    def project(self, x: Tensor) -> Tensor:
        self.clip()
        return linear(x, self.weight_ih, self.bias_ih).to(self.bias_ih.dtype)

    def clip(self) -> None:
        """Bring recurrent weights back within their bounds, where a step of learning left them."""
        weight = self.weight_hh.detach()
        if self.longest is not None and bool((weight.abs() > self.bound).any()):
            weight.clamp_(-self.bound, self.bound)

    def update(self, projected: Tensor, state: Parts) -> Parts:
        (h,) = state
        return (torch.relu(projected + self.weight_hh * h),)

    def walk(self, x: Tensor, state: Parts) -> Parts:
        return (run_kernel(IndRNNFunction, self.project(x), *state, self.weight_hh),)


class IndRNNFunction(Function):
    """See `IndRNNCell`; gives h after all steps, `(time, batch, hidden)`.

    Takes the share of the input, like h; h before; the recurrent weights, `(hidden,)`.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, h: Tensor, weight: Tensor) -> Tensor:
        hs = state_buffer(u, h)
        steps = hs.unbind(0)
        for u_t, before, after in zip(u.unbind(0), steps, steps[1:], strict=False):
            torch.addcmul(u_t, before, weight, out=after).relu_()
        return save_states(ctx, (hs,), weight)[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Grad, ...]:
        hs, weight = ctx.saved_tensors
        to_u, to_h = torch.empty_like(hs[1:]), torch.zeros_like(hs[0])
        to_weight = torch.zeros_like(weight)
        for steps in reversed(time_chunks(len(grad))):
            made = to_u[steps].copy_(grad[steps])
            active = hs[1:][steps].sign()
            to_h = linear_backward(made, active * weight, to_h)
            to_weight += (made.mul_(active) * hs[steps]).sum((0, 1))
        return to_u, to_h, to_weight


class IndRNN(Unrolled):
    """Units that do not see each other within a layer: one recurrent weight each, very long memory.

    Where there are several layers, the last starts with long memories only.

    Source: Li et al. (2018), https://arxiv.org/abs/1803.04831.
    """

    cell, year, cost = IndRNNCell, 2018, "DH + H"

    def make(self, layer: int, input_size: int) -> Core:
        cell = IndRNNCell(input_size, self.hidden_size, **self.options)
        if 0 < layer == self.num_layers - 1:
            cell.remember()
        return UnrolledCore(cell)
