"""LSTM with exponential gates (sLSTM): cell, kernel and layer."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from rnn_lab.nn.functional.linear import linear, weight_gradient, with_weight
from rnn_lab.nn.functional.state import Parts, zoneout
from rnn_lab.nn.functional.step_kernels import (
    Grad,
    add_step_grad,
    aten,
    backward_steps,
    linear_backward,
    output_buffer,
    run_kernel,
    save_states,
    split_gates,
    state_buffer,
    tanh_by_sigmoid,
    time_chunks,
)
from rnn_lab.nn.layers.cell import Cell
from rnn_lab.nn.layers.stack import Core
from rnn_lab.nn.layers.unrolled import Unrolled, UnrolledCore


class SLSTMCell(Cell):
    """An LSTM with exponential input gates: `h' = o c' / n'`, where n sums up the gates.

    A new entry can outweigh all older ones. `c' = f c + i z` and `n' = f n + i` are kept divided by
    `exp(m)`, where m is the largest exponent so far. Its state is (h, c, n, m).

    Source: Beck et al. (2024), https://arxiv.org/abs/2405.04517, section 2.2 and appendix A.2.

    Args:
        input_size: Features of a step.
        hidden_size: Units.
        heads: Groups of units that see only each other's output.
        depth: Where the layer stands, from 0, the first, to 1, the last; later ones forget more.
    """

    kept = 4

    def __init__(
        self, input_size: int, hidden_size: int, *, heads: int = 1, depth: float = 0.0
    ) -> None:
        if heads < 1 or hidden_size % heads:
            raise ValueError(f"heads must divide the hidden size {hidden_size}, got {heads}")
        super().__init__(input_size, hidden_size)
        self.heads, self.depth, size = heads, depth, hidden_size // heads
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(heads, 4 * size, size))
        self.bias_ih = nn.Parameter(torch.empty(4 * hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start without recurrence, with memories of all lengths in every head."""
        nn.init.normal_(self.weight_ih, std=math.sqrt(2 / (5 * self.input_size)))
        nn.init.zeros_(self.weight_hh)
        nn.init.zeros_(self.bias_ih)
        size = self.hidden_size // self.heads
        place = torch.arange(size) / max(size - 1, 1)
        forget = 5 - 12 * place ** (0.3 + 1.3 * self.depth)
        self.bias_ih.detach().chunk(4)[1].copy_(forget.repeat(self.heads))

    def project(self, x: Tensor) -> Tensor:
        return linear(x, self.weight_ih, self.bias_ih).to(self.bias_ih.dtype)

    def recur(self, h: Tensor) -> Tensor:
        """Multiply the output before by the recurrent weights."""
        return linear(h, self.recurrent()).to(h.dtype)

    def recurrent(self) -> Tensor:
        """Give the weights of all heads as one matrix, `(4 * hidden_size, hidden_size)`."""
        own = self.weight_hh.unflatten(1, (4, -1))  # (heads, 4, size, size)
        return torch.diag_embed(own.permute(1, 2, 3, 0), 0, 1, 3).reshape(-1, self.hidden_size)

    def update(self, projected: Tensor, state: Parts) -> Parts:
        h, c, n, m = state
        i, f, z, o = (projected + self.recur(h)).chunk(4, -1)
        f = F.logsigmoid(f) + m
        m = torch.where(n == 0, i, torch.maximum(f, i))  # before the first step there is no m
        f, i = (f - m).clamp(max=0).exp(), (i - m).exp()
        c, n = f * c + i * z.tanh(), f * n + i
        return o.sigmoid() * c / n, c, n, m

    def walk(self, x: Tensor, state: Parts) -> Parts:
        return run_kernel(SLSTMFunction, self.project(x), *state, self.recurrent())

    def zoneout(self, before: Parts, after: Parts, p: float) -> Parts:
        """Keep units as they were: c, n and m of a unit together, since m is the scale of both."""
        if self.training:
            stay = torch.rand_like(after[1]) < p
            both = zip(before[1:], after[1:], strict=True)
            memory = tuple(torch.where(stay, old, new) for old, new in both)
        else:
            m = torch.where(before[2] == 0, after[3], torch.maximum(before[3], after[3]))
            was, now = ((s[3] - m).clamp(max=0).exp() for s in (before, after))
            c, n = (torch.lerp(after[k] * now, before[k] * was, p) for k in (1, 2))
            memory = c, n, m
        return (*zoneout(before[:1], after[:1], p, self.training), *memory)


class SLSTMFunction(Function):
    """See `SLSTMCell`; gives h, c, n and m after all steps, each `(time, batch, hidden)`.

    Takes the share of the input, `(time, batch, 4 * hidden)`; h, c, n and m before; the recurrent
    weights, `(4 * hidden, hidden)`.
    """

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, h: Tensor, c: Tensor, n: Tensor, m: Tensor, weight: Tensor
    ) -> tuple[Tensor, ...]:
        gates, states = torch.empty_like(u), tuple(state_buffer(u, part) for part in (h, c, n, m))
        hs, cs, ns, ms = states
        kept, times = output_buffer(u, h), with_weight(weight, len(h))
        for t, (u_t, v, log_f) in enumerate(zip(u, gates, kept, strict=True)):
            torch.add(u_t, times(hs[t]), out=v)
            i, f, z, o = v.chunk(4, 1)
            log_f.copy_(torch.nn.functional.logsigmoid(f))
            torch.add(log_f, ms[t], out=f)
            torch.maximum(i, f, out=ms[t + 1])
            if t == 0:  # before the first step there is no m
                ms[1].copy_(torch.where(n == 0, i, ms[1]))
                f.copy_(torch.minimum(f, ms[1]))
            split_gates(v)[:, :2].sub_(ms[t + 1].unsqueeze(1)).exp_()
            tanh_by_sigmoid(z, z)
            after = torch.mul(f, cs[t], out=cs[t + 1]).addcmul_(i, z)
            torch.div(after, torch.mul(f, ns[t], out=ns[t + 1]).add_(i), out=hs[t + 1])
            hs[t + 1].mul_(o.sigmoid_())
        return save_states(ctx, states, gates, kept, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Grad) -> tuple[Grad, ...]:
        hs, cs, ns, _, gates, kept, weight = ctx.saved_tensors
        to_gates, times = torch.empty_like(gates), with_weight(weight.t(), hs.size(1))
        to_h, to_c, to_n = (torch.zeros_like(part[0]) for part in (hs, cs, ns))
        to_m, scaled = _scale_back(gates, cs, ns, kept, grads)
        for steps in reversed(time_chunks(len(gates))):
            factors = _slstm_factors(gates, cs, ns, kept, steps, to_gates)
            for t, made, by_n, e, shown, f in backward_steps(steps, *factors):
                to_h, to_c, to_n = (
                    add_step_grad(carried, part, t)
                    for carried, part in zip((to_h, to_c, to_n), grads, strict=False)
                )
                through = to_h * e
                to_c.add_(through)
                to_n.addcmul_(through, shown, value=-1)
                made[:, :3] *= to_c.unsqueeze(1)
                made[:, :2].addcmul_(by_n, to_n.unsqueeze(1))
                made[:, 3] *= to_h
                if scaled is not None:
                    made[:, :2] += scaled[t]
                to_h, to_c, to_n = times(to_gates[t]), to_c.mul_(f), to_n.mul_(f)
        to_m.addcmul_(cs[0], to_c).addcmul_(ns[0], to_n)
        to_weight = weight_gradient(to_gates.flatten(0, 1), hs[:-1].flatten(0, 1))
        return to_gates, to_h, to_c, to_n, to_m, to_weight


def _slstm_factors(
    gates: Tensor, c: Tensor, n: Tensor, log_f: Tensor, steps: slice, out: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Write how c moves with i, f and z before they are squashed, and h with o.

    Returns:
        That of some steps, `(steps, batch, 4, hidden)`, a part of `out`; how n moves with i and f;
        how h moves with c; c / n; f.
    """
    made, after = out[steps], slice(steps.start + 1, steps.stop + 1)
    i, f, z, o = gates[steps].chunk(4, 2)
    to_i, to_f, to_z, to_o = made.chunk(4, 2)
    shown, slope = c[after] / n[after], f * log_f[steps].expm1().neg_()
    torch.mul(i, z, out=to_i)
    torch.mul(slope, c[steps], out=to_f)
    aten.tanh_backward.grad_input(i, z, grad_input=to_z)
    aten.sigmoid_backward.grad_input(shown, o, grad_input=to_o)
    return split_gates(made), torch.stack([i, slope * n[steps]], 2), o / n[after], shown, f


def _scale_back(
    gates: Tensor, c: Tensor, n: Tensor, log_f: Tensor, grads: tuple[Grad, ...]
) -> tuple[Tensor, Grad]:
    """Give what comes through m, the scale of c and n, to the first m and to i and f of all steps.

    The output does not hang on the scale, so this is what the gradients of c, n and m themselves
    bring: were m greater by one, c and n would be smaller by themselves.
    """
    if all(grad is None for grad in grads[1:]):
        return torch.zeros_like(c[0]), None
    to_m = torch.zeros_like(log_f)
    for grad, share in zip(grads[1:], (-c[1:], -n[1:], torch.ones_like(log_f)), strict=True):
        if grad is not None:
            to_m.addcmul_(grad, share)
    i, f, _, _ = gates.chunk(4, 2)
    kept = (f - i).sign().add_(1).div_(2)  # whether m is that of the step before
    kept[0].masked_fill_(n[0] == 0, 0)
    first = linear_backward(to_m, kept, torch.zeros_like(c[0]))
    return first, torch.stack([to_m * (1 - kept), to_m * kept * log_f.expm1().neg_()], 2)


class SLSTM(Unrolled):
    """An LSTM that can revise what it stored: exponential gates, a normalizer, heads.

    Source: Beck et al. (2024), https://arxiv.org/abs/2405.04517.
    """

    cell, year, cost = SLSTMCell, 2024, "4H(D+H/heads)"

    def make(self, layer: int, input_size: int) -> Core:
        options = {"depth": layer / max(self.num_layers - 1, 1)} | self.options
        return UnrolledCore(SLSTMCell(input_size, self.hidden_size, **options))
