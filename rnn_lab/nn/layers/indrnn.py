"""Independently recurrent network (IndRNN): cell, kernel and layer."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from rnn_lab.nn.functional.linear import linear
from rnn_lab.nn.functional.once_differentiable import once_differentiable
from rnn_lab.nn.functional.padding import PaddingInfo
from rnn_lab.nn.functional.state import LayerState
from rnn_lab.nn.functional.step_kernels import (
    Grad,
    linear_backward,
    run_kernel,
    save_states,
    state_buffer,
    time_chunks,
)
from rnn_lab.nn.layers.cell import Cell
from rnn_lab.nn.layers.stack import UnidirectionalLayer
from rnn_lab.nn.layers.unrolled import UnrolledLayer, UnrolledRNN
from rnn_lab.nn.native.scan import Scan


class IndRNNCell(Cell):
    """Independent units with one recurrent weight each: `h' = relu(W x + u h + b)`.

    Source: Li et al. (2018), https://arxiv.org/abs/1803.04831.

    Args:
        input_size: Number of input features.
        hidden_size: Number of units.
        max_seq_len: Length of the longest sequences; recurrent weights are clipped to
            `2^(1 / max_seq_len)` in magnitude, so that no state more than doubles over a sequence.
            None: no clipping.
    """

    weight_drop_params, native_kernel = ("weight_ih",), "indrnn"

    def __init__(
        self, input_size: int, hidden_size: int, *, max_seq_len: int | None = None
    ) -> None:
        if max_seq_len is not None and max_seq_len < 1:
            raise ValueError(f"max_seq_len must be at least 1, got {max_seq_len}")
        super().__init__(input_size, hidden_size)
        self.max_seq_len = max_seq_len
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(hidden_size))
        self.reset_parameters()

    @property
    def recurrent_clip(self) -> float:
        """Largest magnitude of a recurrent weight."""
        return math.inf if self.max_seq_len is None else 2 ** (1 / self.max_seq_len)

    def reset_parameters(self) -> None:
        """Initialize recurrent weights uniformly from 0 to 1, for memories of all lengths."""
        nn.init.kaiming_uniform_(self.weight_ih, nonlinearity="relu")
        nn.init.zeros_(self.bias_ih)
        nn.init.uniform_(self.weight_hh, 0, 1)

    def init_long_memory(self) -> None:
        """Initialize recurrent weights that keep at least half of a state over `max_seq_len`."""
        if self.max_seq_len is None:
            nn.init.uniform_(self.weight_hh, 0.99, 1)
        else:
            nn.init.uniform_(self.weight_hh, 1 / self.recurrent_clip, self.recurrent_clip)

    def project(self, x: Tensor) -> Tensor:
        self.clip_recurrent_weights()
        return linear(x, self.weight_ih, self.bias_ih).to(self.bias_ih.dtype)

    def clip_recurrent_weights(self) -> None:
        """Clip recurrent weights, in place, which an optimizer step may have moved too far."""
        if self.max_seq_len is None:
            return
        weight = self.weight_hh.data  # autograd may hold it: it changes only after a weight update
        if not weight.is_cpu or bool((weight.abs() > self.recurrent_clip).any()):
            weight.clamp_(-self.recurrent_clip, self.recurrent_clip)

    def update(self, projected: Tensor, state: LayerState) -> LayerState:
        (h,) = state
        return (torch.relu(projected + self.weight_hh * h),)

    def native_sequence(
        self, x: Tensor, state: LayerState, padding: PaddingInfo | None
    ) -> tuple[Tensor, LayerState]:
        self.clip_recurrent_weights()
        weights = self.weight_ih, self.bias_ih, self.weight_hh
        output, final = Scan(self.native_kernel, padding)(x, state[0], *weights)
        return output, (final,)

    def forward_sequence(self, x: Tensor, state: LayerState) -> LayerState:
        return (run_kernel(IndRNNFunction, self.project(x), *state, self.weight_hh),)


class IndRNNFunction(Function):
    """Kernel of `IndRNNCell`; returns h after all steps, `(time, batch, hidden)`.

    Inputs: the projected input u, `(time, batch, hidden)`; initial h; the recurrent weights,
    `(hidden,)`.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, h: Tensor, weight: Tensor) -> Tensor:
        hs = state_buffer(u, h)
        steps = hs.unbind(0)
        for u_t, h_t, out in zip(u.unbind(0), steps, steps[1:], strict=False):
            torch.addcmul(u_t, h_t, weight, out=out).relu_()
        return save_states(ctx, (hs,), weight)[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Grad, ...]:
        hs, weight = ctx.saved_tensors
        grad_u, grad_h = torch.empty_like(hs[1:]), torch.zeros_like(hs[0])
        grad_weight = torch.zeros_like(weight)
        for steps in reversed(time_chunks(len(grad))):
            grads = grad_u[steps].copy_(grad[steps])
            active = hs[1:][steps].sign()
            grad_h = linear_backward(grads, active * weight, grad_h)
            grad_weight += (grads.mul_(active) * hs[steps]).sum((0, 1))
        return grad_u, grad_h, grad_weight


class IndRNN(UnrolledRNN):
    """Independently recurrent network: one recurrent weight per unit, for very long memory.

    With several layers the last one is initialized for long memory only.

    Source: Li et al. (2018), https://arxiv.org/abs/1803.04831.
    """

    cell, year, cost = IndRNNCell, 2018, "DH + H"

    def make_layer(self, index: int, input_size: int) -> UnidirectionalLayer:
        cell = IndRNNCell(input_size, self.hidden_size, **self.options)
        if 0 < index == self.num_layers - 1:
            cell.init_long_memory()
        return UnrolledLayer(cell)
