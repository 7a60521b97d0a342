"""Simple recurrent unit (SRU): cell, kernel and layer."""

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
    aten,
    linear_backward,
    output_buffer,
    run_kernel,
    state_buffer,
    time_chunks,
)
from rnn_lab.nn.layers.cell import Cell
from rnn_lab.nn.layers.unrolled import UnrolledRNN
from rnn_lab.nn.native.scan import Scan


class SRUCell(Cell):
    """Simple recurrent unit: gates see the input and their own unit's cell state, not the output.

    `c' = f c + (1 - f) W x` and `h' = r c' + (1 - r) a x`, with a highway connection whose factor
    `a` preserves the variance of the input. If input and hidden size differ, the highway input is
    projected. The state is (h, c).

    Source: Lei et al. (2018), https://arxiv.org/abs/1709.02755, sections 2 and 3.2.

    Args:
        input_size: Number of input features.
        hidden_size: Number of units.
        highway_bias: Initial bias of the gate r, at most zero; smaller values let more of the
            input pass through the highway.
    """

    num_states, native_kernel = 2, "sru"
    weight_drop_params = ("weight_ih",)

    def __init__(self, input_size: int, hidden_size: int, *, highway_bias: float = 0.0) -> None:
        super().__init__(input_size, hidden_size)
        self.highway_bias = highway_bias
        self.scale = math.sqrt(1 + 2 * math.exp(highway_bias))
        num_projections = 4 if self._projects_highway else 3
        if self.native_kernel and self._projects_highway:
            self.native_kernel = "projected_sru"
        self.weight_ih = nn.Parameter(torch.empty(num_projections * hidden_size, input_size))
        self.weight_ch = nn.Parameter(torch.empty(2 * hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(2 * hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize weights that preserve the input's variance, smaller ones for the gates."""
        bound, size = math.sqrt(3 / self.input_size), self.hidden_size
        nn.init.uniform_(self.weight_ih, -bound, bound)
        self.weight_ih.detach()[size : 3 * size] *= math.sqrt(0.5)
        nn.init.uniform_(self.weight_ch, -math.sqrt(1.5), math.sqrt(1.5))
        nn.init.zeros_(self.bias_ih)
        nn.init.constant_(self.bias_ih.detach()[size:], self.highway_bias)

    def project(self, x: Tensor) -> Tensor:
        projected, highway = self._project(x)
        return projected if highway is None else torch.cat([projected, highway], -1)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the projected input and, if that does not contain it, the highway input."""
        bias = self._bias()
        projected = linear(x, self.weight_ih, bias).to(bias.dtype)
        return projected, None if self._projects_highway else x.to(bias.dtype)

    @property
    def _projects_highway(self) -> bool:
        return self.input_size != self.hidden_size

    def _bias(self) -> Tensor:
        """Return the biases of all projections; candidates and highway have none."""
        size = self.hidden_size
        rest = self.bias_ih.new_zeros(len(self.weight_ih) - 3 * size)
        return torch.cat([torch.zeros_like(self.bias_ih[:size]), self.bias_ih, rest])

    def update(self, projected: Tensor, state: LayerState) -> LayerState:
        c = state[1]
        v_f, v_r = self.weight_ch.chunk(2)
        candidate, f, r, highway = projected.chunk(4, -1)
        f, r = (f + v_f * c).sigmoid(), (r + v_r * c).sigmoid()
        c = f * c + (1 - f) * candidate
        return r * c + (1 - r) * self.scale * highway, c

    def native_sequence(
        self, x: Tensor, state: LayerState, padding: PaddingInfo | None
    ) -> tuple[Tensor, LayerState]:
        scan = Scan(self.native_kernel, padding, True, not self._projects_highway, self.scale)
        output, c = scan(x, state[1], self.weight_ih, self._bias(), self.weight_ch)
        return output, (padding.last_step(output) if padding else output[-1], c)

    def forward_sequence(self, x: Tensor, state: LayerState) -> LayerState:
        return run_kernel(SRUFunction, *self._project(x), state[1], self.weight_ch, self.scale)


class SRUFunction(Function):
    """Kernel of `SRUCell`; returns h and c after all steps, each `(time, batch, hidden)`.

    Inputs: u, `(time, batch, 3 * hidden)` or 4 times, holds the candidates, the projected input of
    f and r and, if it is projected, the highway input; the highway input, shaped like h, if u does
    not hold it; initial c; the weights of c in the gates f and r; the factor of the highway.
    """

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, highway: Grad, c: Tensor, weight: Tensor, scale: float
    ) -> tuple[Tensor, Tensor]:
        cs, hs, gates = state_buffer(u, c), output_buffer(u, c), c.new_empty(2, len(u), *c.shape)
        size, (v_f, v_r), next_cs = c.size(1), weight.chunk(2), cs[1:]
        candidates, u_f, u_r, *projected = u.split(size, 2)
        highway = projected[0] if highway is None else highway
        for steps in time_chunks(len(u)):
            numbers = range(steps.start, steps.stop)
            for t, x, u_t in zip(numbers, candidates[steps], u_f[steps], strict=True):
                f = torch.addcmul(u_t, cs[t], v_f, out=gates[0, t]).sigmoid_()
                torch.lerp(x, cs[t], f, out=cs[t + 1])
            r = torch.addcmul(u_r[steps], cs[steps], v_r, out=gates[1, steps]).sigmoid_()
            torch.lerp(highway[steps] * scale, next_cs[steps], r, out=hs[steps])
        ctx.scale = scale
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(cs, gates, u, None if projected else highway, weight)
        return hs, next_cs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_hs: Grad, grad_cs: Grad) -> tuple[Grad, ...]:
        cs, gates, u, highway, weight = ctx.saved_tensors
        grad_u, grad_highway, next_cs = torch.empty_like(u), None, cs[1:]
        grad_c, grad_weight = torch.zeros_like(cs[0]), torch.zeros_like(weight)
        v_f, v_r = weight.chunk(2)
        candidates, _, _, *projected = u.split(cs.size(2), 2)
        grad_candidates, grad_f, grad_r, *grad_projected = grad_u.split(cs.size(2), 2)
        if highway is not None:
            grad_highway = torch.empty_like(highway)
            projected, grad_projected = [highway], [grad_highway]
        for steps in reversed(time_chunks(len(u))):
            (f, r), c = gates[:, steps], cs[steps]
            grad_h = torch.zeros_like(f) if grad_hs is None else grad_hs[steps]
            scaled_highway = projected[0][steps] * ctx.scale
            through_r = aten.sigmoid_backward.grad_input(
                grad_h * (next_cs[steps] - scaled_highway), r, grad_input=grad_r[steps]
            )
            out = grad_projected[0][steps]
            torch.addcmul(grad_h, grad_h, r, value=-1, out=out).mul_(ctx.scale)
            grads = grad_h * r if grad_cs is None else torch.addcmul(grad_cs[steps], grad_h, r)
            grads[:-1].addcmul_(through_r[1:], v_r)
            slope = aten.sigmoid_backward(c - candidates[steps], f)
            grad_c = linear_backward(grads, torch.addcmul(f, slope, v_f), grad_c)
            grad_c.addcmul_(through_r[0], v_r)
            through_f = torch.mul(grads, slope, out=grad_f[steps])
            torch.addcmul(grads, grads, f, value=-1, out=grad_candidates[steps])
            grad_weight += torch.cat([(grad * c).sum((0, 1)) for grad in (through_f, through_r)])
        return grad_u, grad_highway, grad_c, grad_weight, None


class SRU(UnrolledRNN):
    """Simple recurrent unit: elementwise recurrence, so that most work is one matrix product.

    Source: Lei et al. (2018), https://arxiv.org/abs/1709.02755.
    """

    cell, year, cost = SRUCell, 2018, "3DH + 6H"
