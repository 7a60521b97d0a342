"""Cells of `cells.py` run over whole rows, with lean gradients of their own.

Each kernel is a loop over time that writes into buffers, and a loop backwards. The factors of a
step's gradient do not hang on the gradient, so they are made for some steps at a time; the gradient
of a matrix, which all steps use, is one product after the loop. Arrays have time first. Everything
here is once differentiable.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from rnn_lab.nn.products import weight_gradient, with_weight

aten = torch.ops.aten
norm_backward = aten.native_layer_norm_backward.default
EPSILON = 1e-5  # of torch's layer norm
CHUNK = 16  # steps whose factors are made together: few enough to stay in the cache

MINUS_ONE = torch.tensor(-1.0)
Grad = Tensor | None
Kept = tuple[Tensor, Tensor, Tensor]  # a norm's input, mean and 1 / deviation


class LayerNormLSTMFunction(Function):
    """See `LayerNormLSTMCell`; gives h and c after all steps, each `(time, batch, hidden)`.

    Takes the share of the input, `(time, batch, 4 * hidden)`; h and c before; the recurrent weights
    with the gain and the bias of their products; gain and bias of the cell state; how many parts of
    the products are normalised each on its own. Share, gain and bias of g are those of `2 g`, of
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
        size, gates, shown = h.size(1), u.detach(), _buffer(u, h)
        hs, cs = _after(u, -h), _after(u, -c)
        kept, kept_c, times = [], [], with_weight(-weight, len(h))
        twice_c = -2 * gain_c, 2 * bias_c
        opened = [gate.unbind(0) for gate in gates.chunk(4, 2)]
        steps = hs.unbind(0), cs.unbind(0), hs[1:].unbind(0), cs[1:].unbind(0), shown.unbind(0)
        for v, i, f, g, o, h, c, h_after, c_after, s in zip(
            gates.unbind(0), *opened, *steps, strict=False
        ):
            normed, found = _norm(times(h), gain, bias, groups)
            kept.append(found)
            v.add_(normed).sigmoid_()
            torch.addcmul(torch.addcmul(i, i, g, value=-2), f, c, out=c_after)
            normed, *stats = torch.native_layer_norm(c_after, [size], *twice_c, EPSILON)
            kept_c.append(stats)
            torch.addcmul(o, o, torch.sigmoid(normed, out=s), value=-2, out=h_after)
        for turned in (hs, cs):
            turned.neg_()
        for halved in (gates.chunk(4, 2)[2], shown):
            _centred(halved)
        ctx.kept, ctx.kept_c, ctx.groups = kept, kept_c, groups
        return _keep(ctx, (hs, cs), gates, shown, weight, gain, gain_c, bias_c)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Grad) -> tuple[Grad, ...]:
        hs, cs, gates, shown, weight, gain, gain_c, bias_c = ctx.saved_tensors
        size, to_gates, to_shown = hs.size(2), torch.empty_like(gates), torch.empty_like(shown)
        to_h, to_c, to_gain, to_weight = map(torch.zeros_like, (hs[0], cs[0], gain, weight))
        times = with_weight(weight.t(), len(to_h))
        mean, scale = (torch.stack(part) for part in zip(*ctx.kept_c, strict=True))
        mean.neg_()
        for steps in reversed(_chunks(len(gates))):
            made, through, forget = _lstm_factors(gates, cs, shown, steps, to_gates)
            made[:, :, 2].mul_(0.5)  # of 2 g
            to_products: list[Tensor] = []
            for t, to_ifg, to_o, e, f, to_v, to_s, c, kept, *kept_c in _back(
                *(steps, made[:, :, :3], made[:, :, 3], through, forget, to_gates[steps]),
                *(to_shown[steps], cs[1:][steps], ctx.kept[steps], mean[steps], scale[steps]),
            ):
                to_h, to_c = _plus(to_h, grads[0], t), _plus(to_c, grads[1], t)
                torch.mul(to_h, e, out=to_s)
                to_c += norm_backward(
                    to_s, c, [size], *kept_c, gain_c, bias_c, [True, False, False]
                )[0]
                to_ifg *= to_c.unsqueeze(1)
                to_o *= to_h
                to_products.append(_norm_back(to_v, kept, gain, ctx.groups))
                to_h, to_c = times(to_products[-1]), to_c.mul_(f)
            to_gain += _gain_back(to_gates[steps], ctx.kept[steps])
            to_weight += weight_gradient(torch.cat(to_products[::-1]), hs[steps].flatten(0, 1))
        _, to_gain_c, to_bias_c = norm_backward(
            to_shown, cs[1:], [size], mean, scale, gain_c, bias_c, [False, True, True]
        )
        to_bias = to_gates.sum((0, 1))
        return to_gates, to_h, to_c, to_weight, to_gain, to_bias, to_gain_c, to_bias_c, None


class LayerNormGRUFunction(Function):
    """See `LayerNormGRUCell`; gives h after all steps, `(time, batch, hidden)`.

    Takes the share of the input, `(time, batch, 3 * hidden)`; h before; the recurrent weights, the
    gain and the bias of their products; how many parts of them are normalised each on its own.
    """

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, h: Tensor, weight: Tensor, gain: Tensor, bias: Tensor, groups: int
    ) -> Tensor:
        size, gates, inner, hs = h.size(1), torch.empty_like(u), _buffer(u, h), _after(u, h)
        kept, times = [], with_weight(weight, len(h))
        for t, (u_t, v, i) in enumerate(zip(u.unbind(0), gates.unbind(0), inner, strict=True)):
            again, found = _norm(times(hs[t]), gain, bias, groups)
            kept.append(found)
            r_z = torch.add(u_t[:, : 2 * size], again[:, : 2 * size], out=v[:, : 2 * size])
            r, z = r_z.sigmoid_().chunk(2, 1)
            i.copy_(again[:, 2 * size :])
            n = torch.addcmul(u_t[:, 2 * size :], r, i, out=v[:, 2 * size :])
            _tanh(n, n)
            torch.lerp(n, hs[t], z, out=hs[t + 1])
        ctx.kept, ctx.groups = kept, groups
        return _keep(ctx, (hs,), gates, inner, weight, gain)[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Grad) -> tuple[Grad, ...]:
        hs, gates, inner, weight, gain = ctx.saved_tensors
        size, to_u, to_again = hs.size(2), torch.empty_like(gates), torch.empty_like(gates)
        to_h, to_gain, to_weight = map(torch.zeros_like, (hs[0], gain, weight))
        times = with_weight(weight.t(), len(to_h))
        for steps in reversed(_chunks(len(gates))):
            to_products: list[Tensor] = []
            for t, made, r, z in _back(steps, *_gru_factors(gates, inner, hs, steps, to_u)):
                to_h = _plus(to_h, grad, t)
                made *= to_h.unsqueeze(1)
                to_again[t].copy_(to_u[t])
                to_again[t, :, 2 * size :] *= r
                to_products.append(_norm_back(to_again[t], ctx.kept[t], gain, ctx.groups))
                to_h = times(to_products[-1]).addcmul_(to_h, z)
            to_gain += _gain_back(to_again[steps], ctx.kept[steps])
            to_weight += weight_gradient(torch.cat(to_products[::-1]), hs[steps].flatten(0, 1))
        return to_u, to_h, to_weight, to_gain, to_again.sum((0, 1)), None


class PeepholeLSTMFunction(Function):
    """See `PeepholeLSTMCell`; gives h and c after all steps, each `(time, batch, hidden)`.

    Takes the share of the input, `(time, batch, 4 * hidden)`; h and c before; the recurrent weights
    and their bias; the peepholes.
    """

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, h: Tensor, c: Tensor, weight: Tensor, bias: Tensor, peep: Tensor
    ) -> tuple[Tensor, Tensor]:
        size, gates, shown = h.size(1), torch.empty_like(u), _buffer(u, h)
        hs, cs, peeps = _after(u, h), _after(u, c), peep.view(3, size)
        times = with_weight(weight, len(h))
        for t, (u_t, v, s) in enumerate(zip(u.unbind(0), gates.unbind(0), shown, strict=True)):
            torch.add(u_t, times(hs[t]), out=v).add_(bias)
            i, f, g, o = v.chunk(4, 1)
            _gates(v)[:, :2].addcmul_(cs[t].unsqueeze(1), peeps[:2]).sigmoid_()
            _tanh(g, g)
            after = torch.mul(f, cs[t], out=cs[t + 1]).addcmul_(i, g)
            o.addcmul_(after, peeps[2]).sigmoid_()
            _tanh(after, s)
            torch.mul(o, s, out=hs[t + 1])
        return _keep(ctx, (hs, cs), gates, shown, weight, peeps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Grad) -> tuple[Grad, ...]:
        hs, cs, gates, shown, weight, peeps = ctx.saved_tensors
        size, to_gates = hs.size(2), torch.empty_like(gates)
        to_h, to_c = torch.zeros_like(hs[0]), torch.zeros_like(cs[0])
        times = with_weight(weight.t(), len(to_h))
        for steps in reversed(_chunks(len(gates))):
            made, through, forget = _lstm_factors(gates, cs, shown, steps, to_gates)
            for t, made_t, e, f in _back(steps, made, through, forget):
                to_h, to_c = _plus(to_h, grads[0], t), _plus(to_c, grads[1], t)
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


class IndRNNFunction(Function):
    """See `IndRNNCell`; gives h after all steps, `(time, batch, hidden)`.

    Takes the share of the input, like h; h before; the recurrent weights, `(hidden,)`.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, h: Tensor, weight: Tensor) -> Tensor:
        hs = _after(u, h)
        steps = hs.unbind(0)
        for u_t, before, after in zip(u.unbind(0), steps, steps[1:], strict=False):
            torch.addcmul(u_t, before, weight, out=after).relu_()
        return _keep(ctx, (hs,), weight)[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Grad, ...]:
        hs, weight = ctx.saved_tensors
        to_u, to_h = torch.empty_like(hs[1:]), torch.zeros_like(hs[0])
        to_weight = torch.zeros_like(weight)
        for steps in reversed(_chunks(len(grad))):
            made = to_u[steps].copy_(grad[steps])
            active = hs[1:][steps].sign()
            to_h = _linear_back(made, active * weight, to_h)
            to_weight += (made.mul_(active) * hs[steps]).sum((0, 1))
        return to_u, to_h, to_weight


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
        cs, hs, gates = _after(u, c), _buffer(u, c), c.new_empty(2, len(u), *c.shape)
        size, (v_f, v_r), after = c.size(1), weight.chunk(2), cs[1:]
        new, u_f, u_r, *more = u.split(size, 2)
        past = more[0] if past is None else past
        for steps in _chunks(len(u)):
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
        for steps in reversed(_chunks(len(u))):
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
            to_c = _linear_back(made, torch.addcmul(f, slope, v_f), to_c)
            to_c.addcmul_(through_r[0], v_r)
            through_f = torch.mul(made, slope, out=to_f[steps])
            torch.addcmul(made, made, f, value=-1, out=to_new[steps])
            seen = [(through * before).sum((0, 1)) for through in (through_f, through_r)]
            to_weight += torch.cat(seen)
        return to_u, to_past, to_c, to_weight, None


class SLSTMFunction(Function):
    """See `SLSTMCell`; gives h, c, n and m after all steps, each `(time, batch, hidden)`.

    Takes the share of the input, `(time, batch, 4 * hidden)`; h, c, n and m before; the recurrent
    weights, `(4 * hidden, hidden)`.
    """

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, h: Tensor, c: Tensor, n: Tensor, m: Tensor, weight: Tensor
    ) -> tuple[Tensor, ...]:
        gates, states = torch.empty_like(u), tuple(_after(u, part) for part in (h, c, n, m))
        hs, cs, ns, ms = states
        kept, times = _buffer(u, h), with_weight(weight, len(h))
        for t, (u_t, v, log_f) in enumerate(zip(u, gates, kept, strict=True)):
            torch.add(u_t, times(hs[t]), out=v)
            i, f, z, o = v.chunk(4, 1)
            log_f.copy_(torch.nn.functional.logsigmoid(f))
            torch.add(log_f, ms[t], out=f)
            torch.maximum(i, f, out=ms[t + 1])
            if t == 0:  # before the first step there is no m
                ms[1].copy_(torch.where(n == 0, i, ms[1]))
                f.copy_(torch.minimum(f, ms[1]))
            _gates(v)[:, :2].sub_(ms[t + 1].unsqueeze(1)).exp_()
            _tanh(z, z)
            after = torch.mul(f, cs[t], out=cs[t + 1]).addcmul_(i, z)
            torch.div(after, torch.mul(f, ns[t], out=ns[t + 1]).add_(i), out=hs[t + 1])
            hs[t + 1].mul_(o.sigmoid_())
        return _keep(ctx, states, gates, kept, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Grad) -> tuple[Grad, ...]:
        hs, cs, ns, _, gates, kept, weight = ctx.saved_tensors
        to_gates, times = torch.empty_like(gates), with_weight(weight.t(), hs.size(1))
        to_h, to_c, to_n = (torch.zeros_like(part[0]) for part in (hs, cs, ns))
        to_m, scaled = _scale_back(gates, cs, ns, kept, grads)
        for steps in reversed(_chunks(len(gates))):
            factors = _slstm_factors(gates, cs, ns, kept, steps, to_gates)
            for t, made, by_n, e, shown, f in _back(steps, *factors):
                to_h, to_c, to_n = (
                    _plus(carried, part, t)
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


def run(kernel: type[Function], *inputs: Any) -> Any:
    """Run a kernel in the type of its inputs, also under autocast."""
    with torch.autocast(inputs[0].device.type, enabled=False):
        return kernel.apply(*inputs)


def _buffer(u: Tensor, h: Tensor) -> Tensor:
    return h.new_empty(len(u), *h.shape)


def _after(u: Tensor, h: Tensor) -> Tensor:
    """Room for a state before and after all steps, with the first in it."""
    states = h.new_empty(len(u) + 1, *h.shape)
    states[0] = h
    return states


def _keep(ctx: Any, states: tuple[Tensor, ...], *others: Tensor) -> Any:
    ctx.save_for_backward(*states, *others)
    if len(states) > 1:  # some of them may get no gradient, which then need not be made
        ctx.set_materialize_grads(False)
    return tuple(state[1:] for state in states)


def _chunks(time: int) -> list[slice]:
    """Runs of a few steps."""
    return [slice(start, min(start + CHUNK, time)) for start in range(0, time, CHUNK)]


def _back(steps: slice, *parts: Any) -> Iterator[tuple[Any, ...]]:
    """Numbers of steps with what belongs to each, the last first."""
    numbers = range(steps.start, steps.stop)
    return reversed(list(zip(numbers, *parts, strict=True)))


def _plus(carried: Tensor, grads: Grad, t: int) -> Tensor:
    return carried if grads is None else carried.add_(grads[t])


def _gates(x: Tensor, count: int = 4) -> Tensor:
    return x.unflatten(-1, (count, -1))


def _open(gates: Tensor) -> tuple[Tensor, ...]:
    """Squash i, f, g and o of an LSTM in their place."""
    opened = gates.chunk(4, 1)
    opened[2].mul_(2)
    gates.sigmoid_()
    _centred(opened[2])
    return opened


def _tanh(x: Tensor, out: Tensor) -> Tensor:
    """Take tanh by the sigmoid, which torch computes many times faster on a CPU."""
    return _centred(torch.mul(x, 2, out=out).sigmoid_())


def _centred(x: Tensor) -> Tensor:
    """Make of the sigmoid of 2 x the tanh of x, in its place."""
    return torch.add(MINUS_ONE, x, alpha=2, out=x)


def _lstm_factors(
    gates: Tensor, c: Tensor, shown: Tensor, steps: slice, out: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Write how c moves with i, f and g before they are squashed, and h with o.

    Returns:
        That of some steps, `(steps, batch, 4, hidden)`, a part of `out`; how h moves with what it
        shows; the forget gate.
    """
    made = out[steps]
    i, f, g, o = gates[steps].chunk(4, 2)
    to_i, to_f, to_g, to_o = made.chunk(4, 2)
    aten.sigmoid_backward.grad_input(g, i, grad_input=to_i)
    aten.sigmoid_backward.grad_input(c[steps], f, grad_input=to_f)
    aten.tanh_backward.grad_input(i, g, grad_input=to_g)
    aten.sigmoid_backward.grad_input(shown[steps], o, grad_input=to_o)
    return _gates(made), aten.tanh_backward(o, shown[steps]), f


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
    return _gates(made), torch.stack([i, slope * n[steps]], 2), o / n[after], shown, f


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
    first = _linear_back(to_m, kept, torch.zeros_like(c[0]))
    return first, torch.stack([to_m * (1 - kept), to_m * kept * log_f.expm1().neg_()], 2)


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
    return _gates(made, 3), r, z


def _linear_back(grads: Tensor, factors: Tensor, later: Tensor) -> Tensor:
    """Run `g_t += factors_{t+1} g_{t+1}` from the end, in place; give that before the first.

    Args:
        grads: What comes from each step itself, `(steps, batch, hidden)`.
        factors: How much of a step's gradient goes on to the step before, like `grads`.
        later: What comes to the last step from the steps behind it, `(batch, hidden)`.
    """
    for grad, factor in zip(reversed(grads.unbind(0)), reversed(factors.unbind(0)), strict=True):
        later = grad.add_(later) * factor
    return later


def _norm(x: Tensor, gain: Tensor, bias: Tensor, groups: int) -> tuple[Tensor, Kept]:
    """Normalise `(batch, features)` in groups of its features."""
    size = len(gain) // groups
    if groups == 1:
        normed, mean, scale = torch.native_layer_norm(x, [size], gain, bias, EPSILON)
        return normed, (x, mean, scale)
    x = _gates(x, groups)
    normed, mean, scale = torch.native_layer_norm(x, [size], None, None, EPSILON)
    return torch.addcmul(bias, normed.flatten(1), gain), (x, mean, scale)


def _norm_back(grad: Tensor, kept: Kept, gain: Tensor, groups: int) -> Tensor:
    """Give the gradient of a norm's input."""
    x, mean, scale = kept
    wanted = [True, False, False]
    if groups == 1:
        return norm_backward(grad, x, [x.size(-1)], mean, scale, gain, None, wanted)[0]
    grad = _gates(grad * gain, groups)
    return norm_backward(grad, x, [x.size(-1)], mean, scale, None, None, wanted)[0].flatten(1)


def _gain_back(grads: Tensor, kept: list[Kept]) -> Tensor:
    """Give the gradient of a norm's gain from some steps, `(steps, batch, features)`."""
    x, mean, scale = (torch.stack(part) for part in zip(*kept, strict=True))
    return x.sub_(mean).mul_(scale).flatten(2).mul_(grads).sum((0, 1))
