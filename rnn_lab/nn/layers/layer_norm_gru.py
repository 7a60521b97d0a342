"""GRU with layer normalization inside its gates: cell, kernel and layer."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from rnn_lab.nn.functional.linear import weight_gradient, with_weight
from rnn_lab.nn.functional.state import Parts
from rnn_lab.nn.functional.step_kernels import (
    Grad,
    add_step_grad,
    aten,
    backward_steps,
    gain_grad,
    norm_forward,
    norm_input_grad,
    output_buffer,
    run_kernel,
    save_states,
    split_gates,
    state_buffer,
    tanh_by_sigmoid,
    time_chunks,
)
from rnn_lab.nn.layers.gru import GRUCell
from rnn_lab.nn.layers.layer_norm_cell import LayerNormCell
from rnn_lab.nn.layers.unrolled import Unrolled


class LayerNormGRUCell(LayerNormCell):
    """A GRU with layer norm on the products of input and of state.

    With `norm=gate` every gate is normalized on its own; the paper takes r and z together and n on
    its own.

    Source: Ba et al. (2016), https://arxiv.org/abs/1607.06450, equations 26 to 28.
    """

    gates = 3
    update = GRUCell.update

    def walk(self, x: Tensor, state: Parts) -> Parts:
        products = self.weight_hh, self.gain_hh, self.bias_hh
        return (run_kernel(LayerNormGRUFunction, self.project(x), *state, *products, self.groups),)


class LayerNormGRUFunction(Function):
    """See `LayerNormGRUCell`; gives h after all steps, `(time, batch, hidden)`.

    Takes the share of the input, `(time, batch, 3 * hidden)`; h before; the recurrent weights, the
    gain and the bias of their products; how many parts of them are normalized each on its own.
    """

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, h: Tensor, weight: Tensor, gain: Tensor, bias: Tensor, groups: int
    ) -> Tensor:
        size, gates, inner, hs = (
            h.size(1),
            torch.empty_like(u),
            output_buffer(u, h),
            state_buffer(u, h),
        )
        kept, times = [], with_weight(weight, len(h))
        for t, (u_t, v, i) in enumerate(zip(u.unbind(0), gates.unbind(0), inner, strict=True)):
            again, found = norm_forward(times(hs[t]), gain, bias, groups)
            kept.append(found)
            r_z = torch.add(u_t[:, : 2 * size], again[:, : 2 * size], out=v[:, : 2 * size])
            r, z = r_z.sigmoid_().chunk(2, 1)
            i.copy_(again[:, 2 * size :])
            n = torch.addcmul(u_t[:, 2 * size :], r, i, out=v[:, 2 * size :])
            tanh_by_sigmoid(n, n)
            torch.lerp(n, hs[t], z, out=hs[t + 1])
        ctx.kept, ctx.groups = kept, groups
        return save_states(ctx, (hs,), gates, inner, weight, gain)[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Grad) -> tuple[Grad, ...]:
        hs, gates, inner, weight, gain = ctx.saved_tensors
        size, to_u, to_again = hs.size(2), torch.empty_like(gates), torch.empty_like(gates)
        to_h, to_gain, to_weight = map(torch.zeros_like, (hs[0], gain, weight))
        times = with_weight(weight.t(), len(to_h))
        for steps in reversed(time_chunks(len(gates))):
            to_products: list[Tensor] = []
            for t, made, r, z in backward_steps(
                steps, *_gru_factors(gates, inner, hs, steps, to_u)
            ):
                to_h = add_step_grad(to_h, grad, t)
                made *= to_h.unsqueeze(1)
                to_again[t].copy_(to_u[t])
                to_again[t, :, 2 * size :] *= r
                to_products.append(norm_input_grad(to_again[t], ctx.kept[t], gain, ctx.groups))
                to_h = times(to_products[-1]).addcmul_(to_h, z)
            to_gain += gain_grad(to_again[steps], ctx.kept[steps])
            to_weight += weight_gradient(torch.cat(to_products[::-1]), hs[steps].flatten(0, 1))
        return to_u, to_h, to_weight, to_gain, to_again.sum((0, 1)), None


def _gru_factors(
    gates: Tensor, inner: Tensor, h: Tensor, steps: slice, out: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Write how h' moves with r, z and n before they are squashed.

    Returns:
        That of some steps, `(steps, batch, 3, hidden)`, a part of `out`; r; z.
    """
    made = out[steps]
    r, z, n = gates[steps].chunk(3, 2)
    to_r, to_z, to_n = made.chunk(3, 2)
    aten.tanh_backward.grad_input(1 - z, n, grad_input=to_n)
    aten.sigmoid_backward.grad_input(h[steps] - n, z, grad_input=to_z)
    aten.sigmoid_backward.grad_input(to_n * inner[steps], r, grad_input=to_r)
    return split_gates(made, 3), r, z


class LayerNormGRU(Unrolled):
    """A GRU with layer norm inside its gates, on the shares of input and state.

    Of an input of one feature the norm leaves little more than the sign: give it several.

    Source: Ba et al. (2016), https://arxiv.org/abs/1607.06450.
    """

    cell, year, cost = LayerNormGRUCell, 2016, "3H(D+H)"
