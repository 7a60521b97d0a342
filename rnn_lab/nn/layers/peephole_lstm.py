"""LSTM with peephole connections: cell, kernel and layer."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from rnn_lab.nn.functional.linear import prepacked_linear, weight_gradient
from rnn_lab.nn.functional.once_differentiable import once_differentiable
from rnn_lab.nn.functional.state import LayerState
from rnn_lab.nn.functional.step_kernels import (
    Grad,
    add_step_grad,
    backward_steps,
    lstm_local_grads,
    output_buffer,
    run_kernel,
    save_states,
    split_gates,
    state_buffer,
    tanh_by_sigmoid,
    time_chunks,
)
from rnn_lab.nn.layers.cell import GatedCell
from rnn_lab.nn.layers.unrolled import UnrolledRNN


class PeepholeLSTMCell(GatedCell):
    """An LSTM whose gates see the cell state: i and f the previous one, o the new one.

    Source: Gers & Schmidhuber (2000), https://doi.org/10.1109/IJCNN.2000.861302.
    """

    num_gates, num_states, native_kernel = 4, 2, "peephole_lstm"

    def _create_weights(self) -> None:
        super()._create_weights()
        self.weight_ch = nn.Parameter(torch.empty(3 * self.hidden_size))

    def reset_parameters(self) -> None:
        """Initialize the biases of the forget gate to one and the peephole weights small."""
        super().reset_parameters()
        nn.init.ones_(self.bias_ih.detach().chunk(4)[1])
        nn.init.uniform_(self.weight_ch, -0.1, 0.1)

    def update(self, projected: Tensor, state: LayerState) -> LayerState:
        h, c = state
        p_i, p_f, p_o = self.weight_ch.chunk(3)
        i, f, g, o = (projected + self.project_state(h)).chunk(4, -1)
        c = (f + p_f * c).sigmoid() * c + (i + p_i * c).sigmoid() * g.tanh()
        return (o + p_o * c).sigmoid() * c.tanh(), c

    def native_weights(self) -> list[Tensor]:
        return [self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, self.weight_ch]

    def forward_sequence(self, x: Tensor, state: LayerState) -> LayerState:
        weights = self.weight_hh, self.bias_hh, self.weight_ch
        return run_kernel(PeepholeLSTMFunction, self.project(x), *state, *weights)


class PeepholeLSTMFunction(Function):
    """Kernel of `PeepholeLSTMCell`; returns h and c after all steps, `(time, batch, hidden)`.

    Inputs: the projected input u, `(time, batch, 4 * hidden)`; initial h and c; the recurrent
    weights and biases; the peephole weights.
    """

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, h: Tensor, c: Tensor, weight: Tensor, bias: Tensor, peephole: Tensor
    ) -> tuple[Tensor, Tensor]:
        size, gates, tanh_c = h.size(1), torch.empty_like(u), output_buffer(u, h)
        hs, cs, peepholes = state_buffer(u, h), state_buffer(u, c), peephole.view(3, size)
        project = prepacked_linear(weight, len(h))
        for t, (u_t, v, s) in enumerate(zip(u.unbind(0), gates.unbind(0), tanh_c, strict=True)):
            torch.add(u_t, project(hs[t]), out=v).add_(bias)
            i, f, g, o = v.chunk(4, 1)
            split_gates(v)[:, :2].addcmul_(cs[t].unsqueeze(1), peepholes[:2]).sigmoid_()
            tanh_by_sigmoid(g, g)
            next_c = torch.mul(f, cs[t], out=cs[t + 1]).addcmul_(i, g)
            o.addcmul_(next_c, peepholes[2]).sigmoid_()
            tanh_by_sigmoid(next_c, s)
            torch.mul(o, s, out=hs[t + 1])
        return save_states(ctx, (hs, cs), gates, tanh_c, weight, peepholes)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Grad) -> tuple[Grad, ...]:
        hs, cs, gates, tanh_c, weight, peepholes = ctx.saved_tensors
        size, grad_gates = hs.size(2), torch.empty_like(gates)
        grad_h, grad_c = torch.zeros_like(hs[0]), torch.zeros_like(cs[0])
        project = prepacked_linear(weight.t(), len(grad_h))
        for steps in reversed(time_chunks(len(gates))):
            local, dh_dc, forget = lstm_local_grads(gates, cs, tanh_c, steps, grad_gates)
            for t, local_t, e, f in backward_steps(steps, local, dh_dc, forget):
                grad_h = add_step_grad(grad_h, grads[0], t)
                grad_c = add_step_grad(grad_c, grads[1], t)
                local_t[:, 3] *= grad_h
                grad_c.addcmul_(grad_h, e).addcmul_(local_t[:, 3], peepholes[2])
                local_t[:, :3] *= grad_c.unsqueeze(1)
                grad_c.mul_(f).addcmul_(local_t[:, 0], peepholes[0])
                grad_c.addcmul_(local_t[:, 1], peepholes[1])
                grad_h = project(grad_gates[t])
        flat, grad_by_gate = grad_gates.flatten(0, 1), grad_gates.unflatten(2, (4, size))
        grad_weight = weight_gradient(flat, hs[:-1].flatten(0, 1))
        products = (
            *(cs[:-1] * grad_by_gate[:, :, k] for k in (0, 1)),
            cs[1:] * grad_by_gate[:, :, 3],
        )
        grad_peephole = torch.cat([product.sum((0, 1)) for product in products])
        return grad_gates, grad_h, grad_c, grad_weight, flat.sum(0), grad_peephole


class PeepholeLSTM(UnrolledRNN):
    """LSTM with peephole connections: gates see the cell state, for counting and precise timing.

    Source: Gers & Schmidhuber (2000), https://doi.org/10.1109/IJCNN.2000.861302.
    """

    cell, year, cost = PeepholeLSTMCell, 2000, "4H(D+H) + 3H"
