"""LSTM with layer normalization inside its gates: cell, kernel and layer."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from rnn_lab.nn.functional.linear import weight_gradient, with_weight
from rnn_lab.nn.functional.state import Parts
from rnn_lab.nn.functional.step_kernels import (
    EPSILON,
    Grad,
    add_step_grad,
    backward_steps,
    center_sigmoid,
    gain_grad,
    lstm_factors,
    norm_backward,
    norm_forward,
    norm_input_grad,
    output_buffer,
    run_kernel,
    save_states,
    state_buffer,
    time_chunks,
)
from rnn_lab.nn.layers.layer_norm_cell import LayerNormCell
from rnn_lab.nn.layers.unrolled import Unrolled


class LayerNormLSTMCell(LayerNormCell):
    """An LSTM with layer norm on the products of input and state and on the cell state it shows.

    With `norm=gate` every gate is normalized on its own.

    Source: Ba et al. (2016), https://arxiv.org/abs/1607.06450, equations 20 to 22.
    """

    gates, kept = 4, 2

    def _add_weights(self) -> None:
        super()._add_weights()
        self.gain_c = nn.Parameter(torch.ones(self.hidden_size))
        self.bias_c = nn.Parameter(torch.zeros(self.hidden_size))

    def reset_parameters(self) -> None:
        """Start with gains of one, half open towards remembering."""
        super().reset_parameters()
        nn.init.ones_(self.gain_c)
        self.bias_ih.detach().chunk(4)[1].add_(1)

    def update(self, projected: Tensor, state: Parts) -> Parts:
        h, c = state
        i, f, g, o = (projected + self.recur(h)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        shown = F.layer_norm(c, c.shape[-1:], self.gain_c, self.bias_c)
        return o.sigmoid() * shown.tanh(), c

    def walk(self, x: Tensor, state: Parts) -> Parts:
        twice_g = self.gain_hh.new_tensor([1, 1, 2, 1]).repeat_interleave(self.hidden_size)
        normed = self.gain_hh * twice_g, self.bias_hh * twice_g, self.gain_c, self.bias_c
        share = self.project(x, twice_g)
        return run_kernel(
            LayerNormLSTMFunction, share, *state, self.weight_hh, *normed, self.groups
        )


class LayerNormLSTMFunction(Function):
    """See `LayerNormLSTMCell`; gives h and c after all steps, each `(time, batch, hidden)`.

    Takes the share of the input, `(time, batch, 4 * hidden)`; h and c before; the recurrent weights
    with the gain and the bias of their products; gain and bias of the cell state; how many parts of
    the products are normalized each on its own. Share, gain and bias of g are those of `2 g`, of
    which the sigmoid gives tanh. The gates are written over the share, whose memory nobody reads
    any more.

    The loop keeps h and c with their signs turned: so `-o tanh(x)` is `o - 2 o sigmoid(2 x)`, one
    call, and one product of `i` and tanh less.
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
        size, gates, shown = h.size(1), u.detach(), output_buffer(u, h)
        hs, cs = state_buffer(u, -h), state_buffer(u, -c)
        kept, kept_c, times = [], [], with_weight(-weight, len(h))
        twice_c = -2 * gain_c, 2 * bias_c
        opened = [gate.unbind(0) for gate in gates.chunk(4, 2)]
        steps = hs.unbind(0), cs.unbind(0), hs[1:].unbind(0), cs[1:].unbind(0), shown.unbind(0)
        for v, i, f, g, o, h, c, h_after, c_after, s in zip(
            gates.unbind(0), *opened, *steps, strict=False
        ):
            normed, found = norm_forward(times(h), gain, bias, groups)
            kept.append(found)
            v.add_(normed).sigmoid_()
            torch.addcmul(torch.addcmul(i, i, g, value=-2), f, c, out=c_after)
            normed, *stats = torch.native_layer_norm(c_after, [size], *twice_c, EPSILON)
            kept_c.append(stats)
            torch.addcmul(o, o, torch.sigmoid(normed, out=s), value=-2, out=h_after)
        for turned in (hs, cs):
            turned.neg_()
        for halved in (gates.chunk(4, 2)[2], shown):
            center_sigmoid(halved)
        ctx.kept, ctx.kept_c, ctx.groups = kept, kept_c, groups
        return save_states(ctx, (hs, cs), gates, shown, weight, gain, gain_c, bias_c)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Grad) -> tuple[Grad, ...]:
        hs, cs, gates, shown, weight, gain, gain_c, bias_c = ctx.saved_tensors
        size, to_gates, to_shown = hs.size(2), torch.empty_like(gates), torch.empty_like(shown)
        to_h, to_c, to_gain, to_weight = map(torch.zeros_like, (hs[0], cs[0], gain, weight))
        times = with_weight(weight.t(), len(to_h))
        mean, scale = (torch.stack(part) for part in zip(*ctx.kept_c, strict=True))
        mean.neg_()
        for steps in reversed(time_chunks(len(gates))):
            made, through, forget = lstm_factors(gates, cs, shown, steps, to_gates)
            made[:, :, 2].mul_(0.5)  # of 2 g
            to_products: list[Tensor] = []
            for t, to_ifg, to_o, e, f, to_v, to_s, c, kept, *kept_c in backward_steps(
                *(steps, made[:, :, :3], made[:, :, 3], through, forget, to_gates[steps]),
                *(to_shown[steps], cs[1:][steps], ctx.kept[steps], mean[steps], scale[steps]),
            ):
                to_h, to_c = add_step_grad(to_h, grads[0], t), add_step_grad(to_c, grads[1], t)
                torch.mul(to_h, e, out=to_s)
                to_c += norm_backward(
                    to_s, c, [size], *kept_c, gain_c, bias_c, [True, False, False]
                )[0]
                to_ifg *= to_c.unsqueeze(1)
                to_o *= to_h
                to_products.append(norm_input_grad(to_v, kept, gain, ctx.groups))
                to_h, to_c = times(to_products[-1]), to_c.mul_(f)
            to_gain += gain_grad(to_gates[steps], ctx.kept[steps])
            to_weight += weight_gradient(torch.cat(to_products[::-1]), hs[steps].flatten(0, 1))
        _, to_gain_c, to_bias_c = norm_backward(
            to_shown, cs[1:], [size], mean, scale, gain_c, bias_c, [False, True, True]
        )
        to_bias = to_gates.sum((0, 1))
        return to_gates, to_h, to_c, to_weight, to_gain, to_bias, to_gain_c, to_bias_c, None


class LayerNormLSTM(Unrolled):
    """An LSTM with layer norm inside its gates, on the shares of input and state.

    Of an input of one feature the norm leaves little more than the sign: give it several.

    Source: Ba et al. (2016), https://arxiv.org/abs/1607.06450.
    """

    cell, year, cost = LayerNormLSTMCell, 2016, "4H(D+H)"
