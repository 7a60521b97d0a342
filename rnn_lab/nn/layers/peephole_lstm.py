"""LSTM with peephole connections: cell, kernel and layer."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from rnn_lab.nn.functional.linear import weight_gradient, with_weight
from rnn_lab.nn.functional.state import Parts
from rnn_lab.nn.functional.step_kernels import (
    Grad,
    add_step_grad,
    backward_steps,
    lstm_factors,
    output_buffer,
    run_kernel,
    save_states,
    split_gates,
    state_buffer,
    tanh_by_sigmoid,
    time_chunks,
)
from rnn_lab.nn.layers.cell import GatedCell
from rnn_lab.nn.layers.unrolled import Unrolled


class PeepholeLSTMCell(GatedCell):
    """An LSTM whose gates see the cell state: i and f that before the step, o that after it.

    Source: Gers & Schmidhuber (2000), https://doi.org/10.1109/IJCNN.2000.861302.
    """

    gates, kept = 4, 2

    def _add_weights(self) -> None:
        super()._add_weights()
        self.weight_ch = nn.Parameter(torch.empty(3 * self.hidden_size))

    def reset_parameters(self) -> None:
        """Start half open towards remembering, with small peepholes."""
        super().reset_parameters()
        nn.init.ones_(self.bias_ih.detach().chunk(4)[1])
        nn.init.uniform_(self.weight_ch, -0.1, 0.1)

    def update(self, projected: Tensor, state: Parts) -> Parts:
        h, c = state
        p_i, p_f, p_o = self.weight_ch.chunk(3)
        i, f, g, o = (projected + self.recur(h)).chunk(4, -1)
        c = (f + p_f * c).sigmoid() * c + (i + p_i * c).sigmoid() * g.tanh()
        return (o + p_o * c).sigmoid() * c.tanh(), c

    def walk(self, x: Tensor, state: Parts) -> Parts:
        weights = self.weight_hh, self.bias_hh, self.weight_ch
        return run_kernel(PeepholeLSTMFunction, self.project(x), *state, *weights)


class PeepholeLSTMFunction(Function):
    """See `PeepholeLSTMCell`; gives h and c after all steps, each `(time, batch, hidden)`.

    Takes the share of the input, `(time, batch, 4 * hidden)`; h and c before; the recurrent weights
    and their bias; the peepholes.
    """

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, h: Tensor, c: Tensor, weight: Tensor, bias: Tensor, peep: Tensor
    ) -> tuple[Tensor, Tensor]:
        size, gates, shown = h.size(1), torch.empty_like(u), output_buffer(u, h)
        hs, cs, peeps = state_buffer(u, h), state_buffer(u, c), peep.view(3, size)
        times = with_weight(weight, len(h))
        for t, (u_t, v, s) in enumerate(zip(u.unbind(0), gates.unbind(0), shown, strict=True)):
            torch.add(u_t, times(hs[t]), out=v).add_(bias)
            i, f, g, o = v.chunk(4, 1)
            split_gates(v)[:, :2].addcmul_(cs[t].unsqueeze(1), peeps[:2]).sigmoid_()
            tanh_by_sigmoid(g, g)
            after = torch.mul(f, cs[t], out=cs[t + 1]).addcmul_(i, g)
            o.addcmul_(after, peeps[2]).sigmoid_()
            tanh_by_sigmoid(after, s)
            torch.mul(o, s, out=hs[t + 1])
        return save_states(ctx, (hs, cs), gates, shown, weight, peeps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Grad) -> tuple[Grad, ...]:
        hs, cs, gates, shown, weight, peeps = ctx.saved_tensors
        size, to_gates = hs.size(2), torch.empty_like(gates)
        to_h, to_c = torch.zeros_like(hs[0]), torch.zeros_like(cs[0])
        times = with_weight(weight.t(), len(to_h))
        for steps in reversed(time_chunks(len(gates))):
            made, through, forget = lstm_factors(gates, cs, shown, steps, to_gates)
            for t, made_t, e, f in backward_steps(steps, made, through, forget):
                to_h, to_c = add_step_grad(to_h, grads[0], t), add_step_grad(to_c, grads[1], t)
                made_t[:, 3] *= to_h
                to_c.addcmul_(to_h, e).addcmul_(made_t[:, 3], peeps[2])
                made_t[:, :3] *= to_c.unsqueeze(1)
                to_c.mul_(f).addcmul_(made_t[:, 0], peeps[0]).addcmul_(made_t[:, 1], peeps[1])
                to_h = times(to_gates[t])
        flat, made = to_gates.flatten(0, 1), to_gates.unflatten(2, (4, size))
        to_weight = weight_gradient(flat, hs[:-1].flatten(0, 1))
        before, after = (cs[:-1] * made[:, :, k] for k in (0, 1)), cs[1:] * made[:, :, 3]
        to_peep = torch.cat([part.sum((0, 1)) for part in (*before, after)])
        return to_gates, to_h, to_c, to_weight, flat.sum(0), to_peep


class PeepholeLSTM(Unrolled):
    """An LSTM whose gates look at the cell state itself, which helps it to count and to time.

    Source: Gers & Schmidhuber (2000), https://doi.org/10.1109/IJCNN.2000.861302.
    """

    cell, year, cost = PeepholeLSTMCell, 2000, "4H(D+H) + 3H"
