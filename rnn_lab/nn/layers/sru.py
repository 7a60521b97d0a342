"""Simple recurrent units (SRU): cell, kernel and layer."""

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
    aten,
    linear_backward,
    output_buffer,
    run_kernel,
    state_buffer,
    time_chunks,
)
from rnn_lab.nn.layers.cell import Cell
from rnn_lab.nn.layers.unrolled import Unrolled


class SRUCell(Cell):
    """Simple recurrent units: gates see no output before them, only the cell state of their unit.

    `c' = f c + (1 - f) W x` and `h' = r c' + (1 - r) a x`, a highway past the memory, whose `a`
    keeps the variance of what passes. An input of another size is projected for the highway. Its
    state is (h, c).

    Source: Lei et al. (2018), https://arxiv.org/abs/1709.02755, sections 2 and 3.2.

    Args:
        input_size: Features of a step.
        hidden_size: Units.
        highway_bias: First bias of the gate r, zero or less: the less, the more goes past.
    """

    kept = 2
    droppable = ("weight_ih",)

    def __init__(self, input_size: int, hidden_size: int, *, highway_bias: float = 0.0) -> None:
        super().__init__(input_size, hidden_size)
        self.highway_bias = highway_bias
        self.scale = math.sqrt(1 + 2 * math.exp(highway_bias))
        rows = 3 if input_size == hidden_size else 4
        self.weight_ih = nn.Parameter(torch.empty(rows * hidden_size, input_size))
        self.weight_ch = nn.Parameter(torch.empty(2 * hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(2 * hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start with the variance of the input kept, the gates' weights smaller."""
        bound, size = math.sqrt(3 / self.input_size), self.hidden_size
        nn.init.uniform_(self.weight_ih, -bound, bound)
        self.weight_ih.detach()[size : 3 * size] *= math.sqrt(0.5)
        nn.init.uniform_(self.weight_ch, -math.sqrt(1.5), math.sqrt(1.5))
        nn.init.zeros_(self.bias_ih)
        nn.init.constant_(self.bias_ih.detach()[size:], self.highway_bias)

    def project(self, x: Tensor) -> Tensor:
        product, past = self._shares(x)
        return product if past is None else torch.cat([product, past], -1)

    def _shares(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Give the products and, where they do not hold it, what goes past the memory."""
        size = self.hidden_size
        rest = self.bias_ih.new_zeros(len(self.weight_ih) - 3 * size)
        bias = torch.cat([torch.zeros_like(self.bias_ih[:size]), self.bias_ih, rest])
        product = linear(x, self.weight_ih, bias).to(bias.dtype)
        return product, None if rest.numel() else x.to(bias.dtype)

    def update(self, projected: Tensor, state: Parts) -> Parts:
        c = state[1]
        v_f, v_r = self.weight_ch.chunk(2)
        new, f, r, past = projected.chunk(4, -1)
        f, r = (f + v_f * c).sigmoid(), (r + v_r * c).sigmoid()
        c = f * c + (1 - f) * new
        return r * c + (1 - r) * self.scale * past, c

    def walk(self, x: Tensor, state: Parts) -> Parts:
        return run_kernel(SRUFunction, *self._shares(x), state[1], self.weight_ch, self.scale)


class SRUFunction(Function):
    """See `SRUCell`; gives h and c after all steps, each `(time, batch, hidden)`.

    Takes what is new, the shares of the input in f and in r and, where that has a size of its own,
    what goes past the memory, `(time, batch, 3 * hidden)` or 4; else what goes past, like h; c
    before; the weights with which f and r see it; what is multiplied to that which goes past.
    """

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, past: Grad, c: Tensor, weight: Tensor, scale: float
    ) -> tuple[Tensor, Tensor]:
        cs, hs, gates = state_buffer(u, c), output_buffer(u, c), c.new_empty(2, len(u), *c.shape)
        size, (v_f, v_r), after = c.size(1), weight.chunk(2), cs[1:]
        new, u_f, u_r, *more = u.split(size, 2)
        past = more[0] if past is None else past
        for steps in time_chunks(len(u)):
            numbers = range(steps.start, steps.stop)
            for t, x, u_t in zip(numbers, new[steps], u_f[steps], strict=True):
                f = torch.addcmul(u_t, cs[t], v_f, out=gates[0, t]).sigmoid_()
                torch.lerp(x, cs[t], f, out=cs[t + 1])
            r = torch.addcmul(u_r[steps], cs[steps], v_r, out=gates[1, steps]).sigmoid_()
            torch.lerp(past[steps] * scale, after[steps], r, out=hs[steps])
        ctx.scale = scale
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(cs, gates, u, None if more else past, weight)
        return hs, after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_hs: Grad, to_cs: Grad) -> tuple[Grad, ...]:
        cs, gates, u, past, weight = ctx.saved_tensors
        to_u, to_past, after = torch.empty_like(u), None, cs[1:]
        to_c, to_weight = torch.zeros_like(cs[0]), torch.zeros_like(weight)
        v_f, v_r = weight.chunk(2)
        new, _, _, *more = u.split(cs.size(2), 2)
        to_new, to_f, to_r, *to_more = to_u.split(cs.size(2), 2)
        if past is not None:
            more, to_more = [past], [to_past := torch.empty_like(past)]
        for steps in reversed(time_chunks(len(u))):
            (f, r), before = gates[:, steps], cs[steps]
            to_h = torch.zeros_like(f) if to_hs is None else to_hs[steps]
            passed = more[0][steps] * ctx.scale
            through_r = aten.sigmoid_backward.grad_input(
                to_h * (after[steps] - passed), r, grad_input=to_r[steps]
            )
            torch.addcmul(to_h, to_h, r, value=-1, out=to_more[0][steps]).mul_(ctx.scale)
            made = to_h * r if to_cs is None else torch.addcmul(to_cs[steps], to_h, r)
            made[:-1].addcmul_(through_r[1:], v_r)
            slope = aten.sigmoid_backward(before - new[steps], f)
            to_c = linear_backward(made, torch.addcmul(f, slope, v_f), to_c)
            to_c.addcmul_(through_r[0], v_r)
            through_f = torch.mul(made, slope, out=to_f[steps])
            torch.addcmul(made, made, f, value=-1, out=to_new[steps])
            seen = [(through * before).sum((0, 1)) for through in (through_f, through_r)]
            to_weight += torch.cat(seen)
        return to_u, to_past, to_c, to_weight, None


class SRU(Unrolled):
    """Gates of the input alone but for one weight a unit: almost all of it is one product.

    Source: Lei et al. (2018), https://arxiv.org/abs/1709.02755.
    """

    cell, year, cost = SRUCell, 2018, "3DH + 6H"
