"""Shared parts of the kernels of cells: a loop over time writing into buffers, and its gradient.

The local derivatives of a step do not depend on the incoming gradient, so they are computed for
several steps at once; the gradient of a weight matrix used at all steps is one product after the
loop. Tensors have time first. All functions are once differentiable.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from rnn_lab.nn.functional.precision import no_autocast

aten = torch.ops.aten
norm_backward = aten.native_layer_norm_backward.default
EPSILON = 1e-5  # of torch's layer norm
CHUNK = 16  # steps whose local derivatives are computed together: few enough to stay in the cache
MINUS_ONE = torch.tensor(-1.0, device="cpu")  # CUDA takes it as a number
Grad = Tensor | None
NormStats = tuple[Tensor, Tensor, Tensor]  # input, mean and 1 / standard deviation of a norm


def run_kernel(kernel: type[Function], *inputs: Any) -> Any:
    """Run a kernel in the dtype of its inputs, also under autocast."""
    with no_autocast(inputs[0].device):
        return kernel.apply(*inputs)


def output_buffer(u: Tensor, h: Tensor) -> Tensor:
    return h.new_empty(len(u), *h.shape)


def state_buffer(u: Tensor, h: Tensor) -> Tensor:
    """Allocate a buffer for the states before and after all steps, with the initial state set."""
    states = h.new_empty(len(u) + 1, *h.shape)
    states[0] = h
    return states


def save_states(ctx: Any, states: tuple[Tensor, ...], *others: Tensor) -> Any:
    """Save tensors for the backward pass and return the states after all steps."""
    ctx.save_for_backward(*states, *others)
    if len(states) > 1:  # gradients of states that are not used need not be allocated
        ctx.set_materialize_grads(False)
    return tuple(state[1:] for state in states)


def time_chunks(time: int) -> list[slice]:
    """Split the time axis into slices of `CHUNK` steps."""
    return [slice(start, min(start + CHUNK, time)) for start in range(0, time, CHUNK)]


def backward_steps(steps: slice, *tensors: Any) -> Iterator[tuple[Any, ...]]:
    """Iterate over step numbers and the tensors of each step, last step first."""
    numbers = range(steps.start, steps.stop)
    return reversed(list(zip(numbers, *tensors, strict=True)))


def add_step_grad(grad: Tensor, output_grads: Grad, t: int) -> Tensor:
    """Add the gradient of the output at step t, if there is one, in place."""
    return grad if output_grads is None else grad.add_(output_grads[t])


def split_gates(x: Tensor, count: int = 4) -> Tensor:
    return x.unflatten(-1, (count, -1))


def tanh_by_sigmoid(x: Tensor, out: Tensor) -> Tensor:
    """Compute tanh by the sigmoid, which torch computes many times faster on a CPU."""
    return sigmoid_to_tanh(torch.mul(x, 2, out=out).sigmoid_())


def sigmoid_to_tanh(x: Tensor) -> Tensor:
    """Turn `sigmoid(2 x)` into `tanh(x)`, in place."""
    return x if x.is_meta else torch.add(MINUS_ONE, x, alpha=2, out=x)


def lstm_local_grads(
    gates: Tensor, c: Tensor, tanh_c: Tensor, steps: slice, out: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the derivatives of c by the pre-activations of i, f and g, and of h by that of o.

    Returns:
        These derivatives for some steps, `(steps, batch, 4, hidden)`, a slice of `out`; the
        derivative of h by the argument of its tanh; the forget gate.
    """
    local = out[steps]
    i, f, g, o = gates[steps].chunk(4, 2)
    out_i, out_f, out_g, out_o = local.chunk(4, 2)
    aten.sigmoid_backward.grad_input(g, i, grad_input=out_i)
    aten.sigmoid_backward.grad_input(c[steps], f, grad_input=out_f)
    aten.tanh_backward.grad_input(i, g, grad_input=out_g)
    aten.sigmoid_backward.grad_input(tanh_c[steps], o, grad_input=out_o)
    return split_gates(local), aten.tanh_backward(o, tanh_c[steps]), f


def linear_backward(grads: Tensor, decay: Tensor, next_grad: Tensor) -> Tensor:
    """Run `g_t += decay_{t+1} g_{t+1}` backwards in place; return the initial state's gradient.

    Args:
        grads: Gradients of the steps' own outputs, `(steps, batch, hidden)`.
        decay: Derivative of each step's state by the previous state, shaped like `grads`.
        next_grad: Gradient of the last state from the steps after it, `(batch, hidden)`.
    """
    for grad, factor in zip(reversed(grads.unbind(0)), reversed(decay.unbind(0)), strict=True):
        next_grad = grad.add_(next_grad) * factor
    return next_grad


def norm_forward(x: Tensor, gain: Tensor, bias: Tensor, groups: int) -> tuple[Tensor, NormStats]:
    """Apply layer norm to `(batch, features)`, separately for each group of features."""
    size = len(gain) // groups
    if groups == 1:
        normed, mean, scale = torch.native_layer_norm(x, [size], gain, bias, EPSILON)
        return normed, (x, mean, scale)
    x = split_gates(x, groups)
    normed, mean, scale = torch.native_layer_norm(x, [size], None, None, EPSILON)
    return torch.addcmul(bias, normed.flatten(1), gain), (x, mean, scale)


def norm_input_grad(grad: Tensor, stats: NormStats, gain: Tensor, groups: int) -> Tensor:
    """Compute the gradient of the input of `norm_forward`."""
    x, mean, scale = stats
    input_only = [True, False, False]
    if groups == 1:
        return norm_backward(grad, x, [x.size(-1)], mean, scale, gain, None, input_only)[0]
    grad = split_gates(grad * gain, groups)
    return norm_backward(grad, x, [x.size(-1)], mean, scale, None, None, input_only)[0].flatten(1)


def gain_grad(grads: Tensor, stats: list[NormStats]) -> Tensor:
    """Compute the gradient of the gain of a norm from several steps, `(steps, batch, features)`."""
    x, mean, scale = (torch.stack(tensors) for tensors in zip(*stats, strict=True))
    return x.sub_(mean).mul_(scale).flatten(2).mul_(grads).sum((0, 1))
