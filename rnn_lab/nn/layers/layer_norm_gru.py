"""GRU with layer normalization inside its gates: cell, kernel and layer."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from rnn_lab.nn.functional.linear import prepacked_linear, weight_gradient
from rnn_lab.nn.functional.once_differentiable import once_differentiable
from rnn_lab.nn.functional.state import LayerState
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
from rnn_lab.nn.layers.unrolled import UnrolledRNN


class LayerNormGRUCell(LayerNormCell):
    """A GRU with layer norm on the projected input and the projected state.

    With `norm=gate` every gate is normalized separately; the paper normalizes r and z together and
    n separately.

    Source: Ba et al. (2016), https://arxiv.org/abs/1607.06450, equations 26 to 28.
    """

    num_gates, native_kernel = 3, "layer_norm_gru"
    update = GRUCell.update

    def forward_sequence(self, x: Tensor, state: LayerState) -> LayerState:
        weights = self.weight_hh, self.gain_hh, self.bias_hh
        u = self.project(x)
        return (run_kernel(LayerNormGRUFunction, u, *state, *weights, self.num_groups),)


class LayerNormGRUFunction(Function):
    """Kernel of `LayerNormGRUCell`; returns h after all steps, `(time, batch, hidden)`.

    Inputs: the projected input u, `(time, batch, 3 * hidden)`; initial h; the recurrent weights
    with gain and bias of their norm; the number of groups that are normalized separately.
    """

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, h: Tensor, weight: Tensor, gain: Tensor, bias: Tensor, groups: int
    ) -> Tensor:
        size, gates = h.size(1), torch.empty_like(u)
        h_ns, hs = output_buffer(u, h), state_buffer(u, h)
        stats, project = [], prepacked_linear(weight, len(h))
        for t, (u_t, v, h_n) in enumerate(zip(u.unbind(0), gates.unbind(0), h_ns, strict=True)):
            h_gates, step_stats = norm_forward(project(hs[t]), gain, bias, groups)
            stats.append(step_stats)
            r_z = torch.add(u_t[:, : 2 * size], h_gates[:, : 2 * size], out=v[:, : 2 * size])
            r, z = r_z.sigmoid_().chunk(2, 1)
            h_n.copy_(h_gates[:, 2 * size :])
            n = torch.addcmul(u_t[:, 2 * size :], r, h_n, out=v[:, 2 * size :])
            tanh_by_sigmoid(n, n)
            torch.lerp(n, hs[t], z, out=hs[t + 1])
        ctx.stats, ctx.groups = stats, groups
        return save_states(ctx, (hs,), gates, h_ns, weight, gain)[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Grad) -> tuple[Grad, ...]:
        hs, gates, h_ns, weight, gain = ctx.saved_tensors
        size, grad_u, grad_h_gates = hs.size(2), torch.empty_like(gates), torch.empty_like(gates)
        grad_h, grad_gain, grad_weight = map(torch.zeros_like, (hs[0], gain, weight))
        project = prepacked_linear(weight.t(), len(grad_h))
        for steps in reversed(time_chunks(len(gates))):
            grad_products: list[Tensor] = []
            for t, local, r, z in backward_steps(
                steps, *_gru_local_grads(gates, h_ns, hs, steps, grad_u)
            ):
                grad_h = add_step_grad(grad_h, grad, t)
                local *= grad_h.unsqueeze(1)
                grad_h_gates[t].copy_(grad_u[t])
                grad_h_gates[t, :, 2 * size :] *= r
                grad_products.append(
                    norm_input_grad(grad_h_gates[t], ctx.stats[t], gain, ctx.groups)
                )
                grad_h = project(grad_products[-1]).addcmul_(grad_h, z)
            grad_gain += gain_grad(grad_h_gates[steps], ctx.stats[steps])
            grad_weight += weight_gradient(torch.cat(grad_products[::-1]), hs[steps].flatten(0, 1))
        return grad_u, grad_h, grad_weight, grad_gain, grad_h_gates.sum((0, 1)), None


def _gru_local_grads(
    gates: Tensor, h_n: Tensor, h: Tensor, steps: slice, out: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the derivatives of the new h by the pre-activations of r, z and n.

    Returns:
        These derivatives for some steps, `(steps, batch, 3, hidden)`, a slice of `out`; r; z.
    """
    local = out[steps]
    r, z, n = gates[steps].chunk(3, 2)
    out_r, out_z, out_n = local.chunk(3, 2)
    aten.tanh_backward.grad_input(1 - z, n, grad_input=out_n)
    aten.sigmoid_backward.grad_input(h[steps] - n, z, grad_input=out_z)
    aten.sigmoid_backward.grad_input(out_n * h_n[steps], r, grad_input=out_r)
    return split_gates(local, 3), r, z


class LayerNormGRU(UnrolledRNN):
    """GRU with layer norm inside its gates, on the projected input and the projected state.

    Layer norm of a projected single feature keeps little more than its sign: use several features.

    Source: Ba et al. (2016), https://arxiv.org/abs/1607.06450.
    """

    cell, year, cost = LayerNormGRUCell, 2016, "3H(D+H)"
