"""What kernels of cells share: a loop over time that writes into buffers, and a loop backwards.

The factors of a step's gradient do not depend on the gradient, so they are computed for some steps
at a time; the gradient of a matrix, which all steps use, is one product after the loop. Arrays have
time first. Everything here is once differentiable.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

aten = torch.ops.aten
norm_backward = aten.native_layer_norm_backward.default
EPSILON = 1e-5  # of torch's layer norm
CHUNK = 16  # steps whose factors are made together: few enough to stay in the cache
MINUS_ONE = torch.tensor(-1.0)
Grad = Tensor | None
Kept = tuple[Tensor, Tensor, Tensor]  # a norm's input, mean and 1 / deviation


def run_kernel(kernel: type[Function], *inputs: Any) -> Any:
    """Run a kernel in the type of its inputs, also under autocast."""
    with torch.autocast(inputs[0].device.type, enabled=False):
        return kernel.apply(*inputs)


def output_buffer(u: Tensor, h: Tensor) -> Tensor:
    return h.new_empty(len(u), *h.shape)


def state_buffer(u: Tensor, h: Tensor) -> Tensor:
    """Room for a state before and after all steps, with the first in it."""
    states = h.new_empty(len(u) + 1, *h.shape)
    states[0] = h
    return states


def save_states(ctx: Any, states: tuple[Tensor, ...], *others: Tensor) -> Any:
    ctx.save_for_backward(*states, *others)
    if len(states) > 1:  # some of them may get no gradient, which then need not be made
        ctx.set_materialize_grads(False)
    return tuple(state[1:] for state in states)


def time_chunks(time: int) -> list[slice]:
    """Runs of a few steps."""
    return [slice(start, min(start + CHUNK, time)) for start in range(0, time, CHUNK)]


def backward_steps(steps: slice, *parts: Any) -> Iterator[tuple[Any, ...]]:
    """Numbers of steps with what belongs to each, the last first."""
    numbers = range(steps.start, steps.stop)
    return reversed(list(zip(numbers, *parts, strict=True)))


def add_step_grad(carried: Tensor, grads: Grad, t: int) -> Tensor:
    return carried if grads is None else carried.add_(grads[t])


def split_gates(x: Tensor, count: int = 4) -> Tensor:
    return x.unflatten(-1, (count, -1))


def open_lstm_gates(gates: Tensor) -> tuple[Tensor, ...]:
    """Squash i, f, g and o of an LSTM in their place."""
    opened = gates.chunk(4, 1)
    opened[2].mul_(2)
    gates.sigmoid_()
    center_sigmoid(opened[2])
    return opened


def tanh_by_sigmoid(x: Tensor, out: Tensor) -> Tensor:
    """Take tanh by the sigmoid, which torch computes many times faster on a CPU."""
    return center_sigmoid(torch.mul(x, 2, out=out).sigmoid_())


def center_sigmoid(x: Tensor) -> Tensor:
    """Make of the sigmoid of 2 x the tanh of x, in its place."""
    return torch.add(MINUS_ONE, x, alpha=2, out=x)


def lstm_factors(
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
    return split_gates(made), aten.tanh_backward(o, shown[steps]), f


def linear_backward(grads: Tensor, factors: Tensor, later: Tensor) -> Tensor:
    """Run `g_t += factors_{t+1} g_{t+1}` from the end, in place; give that before the first.

    Args:
        grads: What comes from each step itself, `(steps, batch, hidden)`.
        factors: How much of a step's gradient goes on to the step before, like `grads`.
        later: What comes to the last step from the steps behind it, `(batch, hidden)`.
    """
    for grad, factor in zip(reversed(grads.unbind(0)), reversed(factors.unbind(0)), strict=True):
        later = grad.add_(later) * factor
    return later


def norm_forward(x: Tensor, gain: Tensor, bias: Tensor, groups: int) -> tuple[Tensor, Kept]:
    """Normalize `(batch, features)` in groups of its features."""
    size = len(gain) // groups
    if groups == 1:
        normed, mean, scale = torch.native_layer_norm(x, [size], gain, bias, EPSILON)
        return normed, (x, mean, scale)
    x = split_gates(x, groups)
    normed, mean, scale = torch.native_layer_norm(x, [size], None, None, EPSILON)
    return torch.addcmul(bias, normed.flatten(1), gain), (x, mean, scale)


def norm_input_grad(grad: Tensor, kept: Kept, gain: Tensor, groups: int) -> Tensor:
    """Give the gradient of a norm's input."""
    x, mean, scale = kept
    wanted = [True, False, False]
    if groups == 1:
        return norm_backward(grad, x, [x.size(-1)], mean, scale, gain, None, wanted)[0]
    grad = split_gates(grad * gain, groups)
    return norm_backward(grad, x, [x.size(-1)], mean, scale, None, None, wanted)[0].flatten(1)


def gain_grad(grads: Tensor, kept: list[Kept]) -> Tensor:
    """Give the gradient of a norm's gain from some steps, `(steps, batch, features)`."""
    x, mean, scale = (torch.stack(part) for part in zip(*kept, strict=True))
    return x.sub_(mean).mul_(scale).flatten(2).mul_(grads).sum((0, 1))
