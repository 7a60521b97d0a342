"""LSTM with layer normalization inside its gates: cell, kernel and layer."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from rnn_lab.nn.functional.linear import prepacked_linear, weight_gradient
from rnn_lab.nn.functional.once_differentiable import once_differentiable
from rnn_lab.nn.functional.state import LayerState
from rnn_lab.nn.functional.step_kernels import (
    EPSILON,
    Grad,
    add_step_grad,
    backward_steps,
    gain_grad,
    lstm_local_grads,
    norm_backward,
    norm_forward,
    norm_input_grad,
    output_buffer,
    run_kernel,
    save_states,
    sigmoid_to_tanh,
    state_buffer,
    time_chunks,
)
from rnn_lab.nn.layers.layer_norm_cell import LayerNormCell
from rnn_lab.nn.layers.unrolled import UnrolledRNN


class LayerNormLSTMCell(LayerNormCell):
    """An LSTM with layer norm on the projected input, the projected state and the cell state.

    The cell state is normalized only for the output, `h' = o tanh(norm(c'))`. With `norm=gate`
    every gate is normalized separately.

    Source: Ba et al. (2016), https://arxiv.org/abs/1607.06450, equations 20 to 22.
    """

    num_gates, num_states, native_kernel = 4, 2, "layer_norm_lstm"

    def _create_weights(self) -> None:
        super()._create_weights()
        self.gain_c = nn.Parameter(torch.ones(self.hidden_size))
        self.bias_c = nn.Parameter(torch.zeros(self.hidden_size))

    def reset_parameters(self) -> None:
        """Initialize gains to one and add one to the biases of the forget gate."""
        super().reset_parameters()
        nn.init.ones_(self.gain_c)
        self.bias_ih.detach().chunk(4)[1].add_(1)

    def update(self, projected: Tensor, state: LayerState) -> LayerState:
        h, c = state
        i, f, g, o = (projected + self.project_state(h)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        normed_c = F.layer_norm(c, c.shape[-1:], self.gain_c, self.bias_c)
        return o.sigmoid() * normed_c.tanh(), c

    def native_weights(self) -> list[Tensor]:
        return [*super().native_weights(), self.gain_c, self.bias_c]

    def forward_sequence(self, x: Tensor, state: LayerState) -> LayerState:
        double_g = torch.ones_like(self.gain_hh.detach())
        double_g.chunk(4)[2].fill_(2)
        norms = self.gain_hh * double_g, self.bias_hh * double_g, self.gain_c, self.bias_c
        u = self.project(x, double_g)
        return run_kernel(LayerNormLSTMFunction, u, *state, self.weight_hh, *norms, self.num_groups)


class LayerNormLSTMFunction(Function):
    """Kernel of `LayerNormLSTMCell`; returns h and c after all steps, `(time, batch, hidden)`.

    Inputs: the projected input u, `(time, batch, 4 * hidden)`; initial h and c; the recurrent
    weights with gain and bias of their norm; gain and bias of the norm of c; the number of groups
    that are normalized separately. In u, gain and bias the gate g is doubled, because tanh(g) is
    computed from the sigmoid of 2 g. The gates overwrite u, whose memory is not used afterwards.

    The loop stores h and c negated: `-o tanh(x)` is `o - 2 o sigmoid(2 x)`, which is one call, and
    saves one product of `i` and tanh.
    """

    @staticmethod
    def forward(
        ctx: Any,
        u: Tensor,
        h: Tensor,
        c: Tensor,
        weight: Tensor,
        gain: Tensor,
        bias: Tensor,
        gain_c: Tensor,
        bias_c: Tensor,
        groups: int,
    ) -> tuple[Tensor, Tensor]:
        size, gates, tanh_c = h.size(1), u.detach(), output_buffer(u, h)
        hs, cs = state_buffer(u, -h), state_buffer(u, -c)
        stats, stats_c, project = [], [], prepacked_linear(-weight, len(h))
        norm_c = -2 * gain_c, 2 * bias_c
        gate_steps = [gate.unbind(0) for gate in gates.chunk(4, 2)]
        steps = hs.unbind(0), cs.unbind(0), hs[1:].unbind(0), cs[1:].unbind(0), tanh_c.unbind(0)
        for v, i, f, g, o, h, c, next_h, next_c, s in zip(
            gates.unbind(0), *gate_steps, *steps, strict=False
        ):
            normed, step_stats = norm_forward(project(h), gain, bias, groups)
            stats.append(step_stats)
            v.add_(normed).sigmoid_()
            torch.addcmul(torch.addcmul(i, i, g, value=-2), f, c, out=next_c)
            normed, *step_stats_c = torch.native_layer_norm(next_c, [size], *norm_c, EPSILON)
            stats_c.append(step_stats_c)
            torch.addcmul(o, o, torch.sigmoid(normed, out=s), value=-2, out=next_h)
        for negated in (hs, cs):
            negated.neg_()
        for sigmoid in (gates.chunk(4, 2)[2], tanh_c):
            sigmoid_to_tanh(sigmoid)
        ctx.stats, ctx.stats_c, ctx.groups = stats, stats_c, groups
        return save_states(ctx, (hs, cs), gates, tanh_c, weight, gain, gain_c, bias_c)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Grad) -> tuple[Grad, ...]:
        hs, cs, gates, tanh_c, weight, gain, gain_c, bias_c = ctx.saved_tensors
        size, grad_gates = hs.size(2), torch.empty_like(gates)
        grad_normed_c = torch.empty_like(tanh_c)
        grad_h, grad_c, grad_gain, grad_weight = map(torch.zeros_like, (hs[0], cs[0], gain, weight))
        project = prepacked_linear(weight.t(), len(grad_h))
        mean, scale = (torch.stack(part) for part in zip(*ctx.stats_c, strict=True))
        mean.neg_()
        for steps in reversed(time_chunks(len(gates))):
            local, dh_dc, forget = lstm_local_grads(gates, cs, tanh_c, steps, grad_gates)
            local[:, :, 2].mul_(0.5)  # by 2 g
            grad_products: list[Tensor] = []
            for t, grad_ifg, grad_o, e, f, grad_v, grad_s, c, stats, *stats_c in backward_steps(
                *(steps, local[:, :, :3], local[:, :, 3], dh_dc, forget, grad_gates[steps]),
                *(grad_normed_c[steps], cs[1:][steps]),
                *(ctx.stats[steps], mean[steps], scale[steps]),
            ):
                grad_h = add_step_grad(grad_h, grads[0], t)
                grad_c = add_step_grad(grad_c, grads[1], t)
                torch.mul(grad_h, e, out=grad_s)
                grad_c += norm_backward(
                    grad_s, c, [size], *stats_c, gain_c, bias_c, [True, False, False]
                )[0]
                grad_ifg *= grad_c.unsqueeze(1)
                grad_o *= grad_h
                grad_products.append(norm_input_grad(grad_v, stats, gain, ctx.groups))
                grad_h, grad_c = project(grad_products[-1]), grad_c.mul_(f)
            grad_gain += gain_grad(grad_gates[steps], ctx.stats[steps])
            grad_weight += weight_gradient(torch.cat(grad_products[::-1]), hs[steps].flatten(0, 1))
        _, grad_gain_c, grad_bias_c = norm_backward(
            grad_normed_c, cs[1:], [size], mean, scale, gain_c, bias_c, [False, True, True]
        )
        grad_bias = grad_gates.sum((0, 1))
        return (
            *(grad_gates, grad_h, grad_c, grad_weight, grad_gain, grad_bias),
            *(grad_gain_c, grad_bias_c, None),
        )


class LayerNormLSTM(UnrolledRNN):
    """LSTM with layer norm inside its gates, on projected input, projected state and cell state.

    Layer norm of a projected single feature keeps little more than its sign: use several features.

    Source: Ba et al. (2016), https://arxiv.org/abs/1607.06450.
    """

    cell, year, cost = LayerNormLSTMCell, 2016, "4H(D+H)"
