"""LSTM with exponential gates (sLSTM): cell, kernel and layer."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from rnn_lab.nn.functional.linear import linear, prepacked_linear, weight_gradient
from rnn_lab.nn.functional.once_differentiable import once_differentiable
from rnn_lab.nn.functional.state import LayerState, zoneout
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
from rnn_lab.nn.layers.stack import UnidirectionalLayer
from rnn_lab.nn.layers.unrolled import UnrolledLayer, UnrolledRNN
from rnn_lab.nn.native.zoneout import Zoneout


class SLSTMCell(Cell):
    """An LSTM with exponential input gates and a normalizer n: `h' = o c' / n'`.

    A new input can outweigh all earlier ones. `c' = f c + i z` and `n' = f n + i` are stored
    divided by `exp(m)`, where the stabilizer m is the largest exponent so far. The state is
    (h, c, n, m).

    Source: Beck et al. (2024), https://arxiv.org/abs/2405.04517, section 2.2 and appendix A.2.

    Args:
        input_size: Number of input features.
        hidden_size: Number of units.
        heads: Number of groups of units; the recurrent weights connect units of one group only.
        depth: Relative position of the layer, from 0 (first) to 1 (last); initial forget gates of
            later layers forget more.
    """

    num_states, native_kernel = 4, "slstm"

    def __init__(
        self, input_size: int, hidden_size: int, *, heads: int = 1, depth: float = 0.0
    ) -> None:
        if heads < 1 or hidden_size % heads:
            raise ValueError(f"heads must divide hidden_size={hidden_size}, got {heads}")
        super().__init__(input_size, hidden_size)
        self.heads, self.depth, size = heads, depth, hidden_size // heads
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(heads, 4 * size, size))
        self.bias_ih = nn.Parameter(torch.empty(4 * hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize recurrent weights to zero and forget biases for memories of all lengths."""
        nn.init.normal_(self.weight_ih, std=math.sqrt(2 / (5 * self.input_size)))
        nn.init.zeros_(self.weight_hh)
        nn.init.zeros_(self.bias_ih)
        size = self.hidden_size // self.heads
        position = torch.arange(size) / max(size - 1, 1)
        forget = 5 - 12 * position ** (0.3 + 1.3 * self.depth)
        self.bias_ih.detach().chunk(4)[1].copy_(forget.repeat(self.heads))

    def project(self, x: Tensor) -> Tensor:
        return linear(x, self.weight_ih, self.bias_ih).to(self.bias_ih.dtype)

    def project_state(self, h: Tensor) -> Tensor:
        """Apply the recurrent weights to the previous output."""
        return linear(h, self.recurrent_weight()).to(h.dtype)

    def recurrent_weight(self) -> Tensor:
        """Return the weights of all heads as one matrix, `(4 * hidden_size, hidden_size)`."""
        if self.heads == 1:
            return self.weight_hh.squeeze(0)
        blocks = self.weight_hh.unflatten(1, (4, -1))  # (heads, 4, size, size)
        diagonal = torch.diag_embed(blocks.permute(1, 2, 3, 0), 0, 1, 3)
        return diagonal.reshape(-1, self.hidden_size)

    def update(self, projected: Tensor, state: LayerState) -> LayerState:
        h, c, n, m = state
        i, f, z, o = (projected + self.project_state(h)).chunk(4, -1)
        f = F.logsigmoid(f) + m
        m = torch.where(n == 0, i, torch.maximum(f, i))  # there is no m before the first step
        f, i = (f - m).clamp(max=0).exp(), (i - m).exp()
        c, n = f * c + i * z.tanh(), f * n + i
        return o.sigmoid() * c / n, c, n, m

    def native_weights(self) -> list[Tensor]:
        no_bias = torch.zeros_like(self.bias_ih)
        return [self.weight_ih, self.recurrent_weight(), self.bias_ih, no_bias]

    def forward_sequence(self, x: Tensor, state: LayerState) -> LayerState:
        return run_kernel(SLSTMFunction, self.project(x), *state, self.recurrent_weight())

    def zoneout(self, previous: LayerState, new: LayerState, p: float) -> LayerState:
        """Apply zoneout to c, n and m of a unit together, since m is the scale of c and n."""
        if self.training:
            keep = torch.rand_like(new[1]) < p
            pairs = zip(previous[1:], new[1:], strict=True)
            memory = tuple(torch.where(keep, a, b) for a, b in pairs)
        else:
            m = torch.where(previous[2] == 0, new[3], torch.maximum(previous[3], new[3]))
            previous_scale, new_scale = ((s[3] - m).clamp(max=0).exp() for s in (previous, new))
            c, n = (torch.lerp(new[k] * new_scale, previous[k] * previous_scale, p) for k in (1, 2))
            memory = c, n, m
        return (*zoneout(previous[:1], new[:1], p, self.training), *memory)

    def has_native_zoneout(self) -> bool:
        """Return False in evaluation, whose expected state depends on the scales of c and n."""
        return self.training and type(self).zoneout is SLSTMCell.zoneout

    def draw_zoneout(self, time: int, state: LayerState, p: float) -> Zoneout:
        """Draw one mask for c, n and m, and then one for h."""
        memory, output = Zoneout.draw(p, time, state[:2]).masks or ()
        return Zoneout(p, (output, memory, memory, memory))


class SLSTMFunction(Function):
    """Kernel of `SLSTMCell`; returns h, c, n and m after all steps, `(time, batch, hidden)` each.

    Inputs: the projected input u, `(time, batch, 4 * hidden)`; initial h, c, n and m; the recurrent
    weights, `(4 * hidden, hidden)`.
    """

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, h: Tensor, c: Tensor, n: Tensor, m: Tensor, weight: Tensor
    ) -> tuple[Tensor, ...]:
        gates, states = torch.empty_like(u), tuple(state_buffer(u, part) for part in (h, c, n, m))
        hs, cs, ns, ms = states
        log_fs, project = output_buffer(u, h), prepacked_linear(weight, len(h))
        for t, (u_t, v, log_f) in enumerate(zip(u, gates, log_fs, strict=True)):
            torch.add(u_t, project(hs[t]), out=v)
            i, f, z, o = v.chunk(4, 1)
            log_f.copy_(torch.nn.functional.logsigmoid(f))
            torch.add(log_f, ms[t], out=f)
            torch.maximum(i, f, out=ms[t + 1])
            if t == 0:  # there is no m before the first step
                ms[1].copy_(torch.where(n == 0, i, ms[1]))
                f.copy_(torch.minimum(f, ms[1]))
            split_gates(v)[:, :2].sub_(ms[t + 1].unsqueeze(1)).exp_()
            tanh_by_sigmoid(z, z)
            next_c = torch.mul(f, cs[t], out=cs[t + 1]).addcmul_(i, z)
            torch.div(next_c, torch.mul(f, ns[t], out=ns[t + 1]).add_(i), out=hs[t + 1])
            hs[t + 1].mul_(o.sigmoid_())
        return save_states(ctx, states, gates, log_fs, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Grad) -> tuple[Grad, ...]:
        hs, cs, ns, _, gates, log_fs, weight = ctx.saved_tensors
        grad_gates, project = torch.empty_like(gates), prepacked_linear(weight.t(), hs.size(1))
        grad_h, grad_c, grad_n = (torch.zeros_like(part[0]) for part in (hs, cs, ns))
        grad_m, through_m = _stabilizer_grads(gates, cs, ns, log_fs, grads)
        for steps in reversed(time_chunks(len(gates))):
            tensors = _slstm_local_grads(gates, cs, ns, log_fs, steps, grad_gates)
            for t, local, dn, e, ratio, f in backward_steps(steps, *tensors):
                grad_h, grad_c, grad_n = (
                    add_step_grad(grad, step_grads, t)
                    for grad, step_grads in zip((grad_h, grad_c, grad_n), grads, strict=False)
                )
                grad_ratio = grad_h * e
                grad_c.add_(grad_ratio)
                grad_n.addcmul_(grad_ratio, ratio, value=-1)
                local[:, :3] *= grad_c.unsqueeze(1)
                local[:, :2].addcmul_(dn, grad_n.unsqueeze(1))
                local[:, 3] *= grad_h
                if through_m is not None:
                    local[:, :2] += through_m[t]
                grad_h, grad_c, grad_n = project(grad_gates[t]), grad_c.mul_(f), grad_n.mul_(f)
        grad_m.addcmul_(cs[0], grad_c).addcmul_(ns[0], grad_n)
        grad_weight = weight_gradient(grad_gates.flatten(0, 1), hs[:-1].flatten(0, 1))
        return grad_gates, grad_h, grad_c, grad_n, grad_m, grad_weight


def _slstm_local_grads(
    gates: Tensor, c: Tensor, n: Tensor, log_f: Tensor, steps: slice, out: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Compute the derivatives of c by the pre-activations of i, f and z, and of h by that of o.

    Returns:
        These derivatives for some steps, `(steps, batch, 4, hidden)`, a slice of `out`; the
        derivatives of n by i and f; the derivative of h by c; c / n; f.
    """
    local, after = out[steps], slice(steps.start + 1, steps.stop + 1)
    i, f, z, o = gates[steps].chunk(4, 2)
    out_i, out_f, out_z, out_o = local.chunk(4, 2)
    ratio, slope = c[after] / n[after], f * log_f[steps].expm1().neg_()
    torch.mul(i, z, out=out_i)
    torch.mul(slope, c[steps], out=out_f)
    aten.tanh_backward.grad_input(i, z, grad_input=out_z)
    aten.sigmoid_backward.grad_input(ratio, o, grad_input=out_o)
    return split_gates(local), torch.stack([i, slope * n[steps]], 2), o / n[after], ratio, f


def _stabilizer_grads(
    gates: Tensor, c: Tensor, n: Tensor, log_f: Tensor, grads: tuple[Grad, ...]
) -> tuple[Tensor, Grad]:
    """Compute the gradients through the stabilizer m: of the initial m, and of i and f.

    The output does not depend on m, so only the gradients of the returned c, n and m contribute:
    their derivatives by m are -c, -n and 1.
    """
    if all(grad is None for grad in grads[1:]):
        return torch.zeros_like(c[0]), None
    grad_m = torch.zeros_like(log_f)
    for grad, factor in zip(grads[1:], (-c[1:], -n[1:], torch.ones_like(log_f)), strict=True):
        if grad is not None:
            grad_m.addcmul_(grad, factor)
    i, f, _, _ = gates.chunk(4, 2)
    from_previous = (f - i).sign().add_(1).div_(2)  # whether m comes from the previous step's m
    from_previous[0].masked_fill_(n[0] == 0, 0)
    initial = linear_backward(grad_m, from_previous, torch.zeros_like(c[0]))
    grad_f = grad_m * from_previous * log_f.expm1().neg_()
    return initial, torch.stack([grad_m * (1 - from_previous), grad_f], 2)


class SLSTM(UnrolledRNN):
    """sLSTM: an LSTM that can revise its memory, by exponential gates, a normalizer and heads.

    Source: Beck et al. (2024), https://arxiv.org/abs/2405.04517.
    """

    cell, year, cost = SLSTMCell, 2024, "4H(D+H/heads)"

    def make_layer(self, index: int, input_size: int) -> UnidirectionalLayer:
        options = {"depth": index / max(self.num_layers - 1, 1)} | self.options
        return UnrolledLayer(SLSTMCell(input_size, self.hidden_size, **options))
