"""Linear recurrences `h_t = a_t h_{t-1} + b_t` (scans), with gradients that store few tensors.

Everything that depends only on the input is computed before the loop, which leaves one multiply-add
per step. On a CPU the scan is a loop over time that writes into one buffer: faster and more
accurate than a scan in log space or a tree. On CUDA, where launching a kernel costs more than its
work, it is a tree of logarithmic depth. In both cases the gradient is the same recurrence in
reverse.

Tensors have time first. All functions are once differentiable.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from rnn_lab.nn.functional.once_differentiable import once_differentiable
from rnn_lab.nn.functional.padding import PaddingInfo

CHUNK = 64  # steps whose products are summed while they are still in the cache


def scan(
    a: Tensor, b: Tensor, h: Tensor, padding: PaddingInfo | None = None
) -> tuple[Tensor, Tensor]:
    """Compute `h_t = a_t h_{t-1} + b_t`.

    Source: Martin & Cundy (2018), https://arxiv.org/abs/1709.04057, for the parallel scan.

    Args:
        a: Decay factors, `(time, batch, ...)`, or size 1 on axes along which they are constant.
        b: Inputs, `(time, batch, ...)`.
        h: Initial state, `(batch, ...)`.
        padding: Real steps of the sequences; None: no padding.

    Returns:
        All states, shaped like `b`, and the state after the last real step, shaped like `h`.
    """
    return _Scan.apply(a, b, h, padding)


def lerp_scan(
    a: Tensor, x: Tensor, h: Tensor, padding: PaddingInfo | None = None
) -> tuple[Tensor, Tensor]:
    """Compute the interpolation `h_t = a_t h_{t-1} + (1 - a_t) x_t`.

    Args:
        a: Decay factors, `(time, batch, units)`.
        x: Candidate states, shaped like `a`.
        h: Initial state, `(batch, units)`.
        padding: Real steps of the sequences; None: no padding.

    Returns:
        All states, shaped like `a`, and the state after the last real step, shaped like `h`.
    """
    return _LerpScan.apply(a, x, h, padding)


def complex_scan(
    a: Tensor, b: Tensor, h: Tensor, padding: PaddingInfo | None = None
) -> tuple[Tensor, Tensor]:
    """Compute `h_t = a_t h_{t-1} + b_t` for complex numbers stored as pairs of real numbers.

    Args:
        a: Factors, `(time, batch, units, 2)`, or size 1 on time and batch if they are constant.
        b: Inputs, `(time, batch, units, 2)`.
        h: Initial state, `(batch, units, 2)`.
        padding: Real steps of the sequences; None: no padding.

    Returns:
        All states, shaped like `b`, and the state after the last real step, shaped like `h`.
    """
    a, b, h = (torch.view_as_complex(tensor.contiguous()) for tensor in (a, b, h))
    states, final = _Scan.apply(a, b, h, padding)
    return torch.view_as_real(states), torch.view_as_real(final)


class _Scan(Function):
    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, h: Tensor, padding: PaddingInfo | None
    ) -> tuple[Tensor, Tensor]:
        states = (parallel_scan if _use_parallel_scan(b) else sequential_scan)(a, b, h)
        ctx.padding = padding
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(a, h, states)
        return states, _final_state(states, padding)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_states: Tensor | None, grad_final: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        a, h, states = ctx.saved_tensors
        a_conj = a.conj().resolve_conj()
        grads = _merge_final_grad(states, grad_states, grad_final, ctx.padding)
        grad_b = _reverse_scan(a_conj, *grads)
        grad_a = _decay_grad(a, grad_b, h, states) if ctx.needs_input_grad[0] else None
        return grad_a, grad_b, a_conj[0] * grad_b[0], None


class _LerpScan(Function):
    @staticmethod
    def forward(
        ctx: Any, a: Tensor, x: Tensor, h: Tensor, padding: PaddingInfo | None
    ) -> tuple[Tensor, Tensor]:
        if _use_parallel_scan(x):
            states = parallel_scan(a, x - a * x, h)
        else:
            states, previous = torch.empty_like(x), h
            for a_t, x_t, out in zip(a.unbind(0), x.unbind(0), states.unbind(0), strict=True):
                previous = torch.lerp(x_t, previous, a_t, out=out)
        ctx.padding = padding
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(a, x, h, states)
        return states, _final_state(states, padding)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_states: Tensor | None, grad_final: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        a, x, h, states = ctx.saved_tensors
        grad_h = _reverse_scan(a, *_merge_final_grad(states, grad_states, grad_final, ctx.padding))
        grad_a = torch.empty_like(grad_h)
        torch.sub(states[:-1], x[1:], out=grad_a[1:])
        torch.sub(h, x[0], out=grad_a[0])
        grad_x = torch.addcmul(grad_h, grad_h, a, value=-1)
        return grad_a.mul_(grad_h), grad_x, a[0] * grad_h[0], None


def sequential_scan(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """Compute all states of `h_t = a_t h_{t-1} + b_t` in a loop, without a gradient."""
    states = torch.empty_like(b)
    for a_t, b_t, out in zip(_unbind_time(a, len(b)), b.unbind(0), states.unbind(0), strict=True):
        h = torch.addcmul(b_t, a_t, h, out=out)
    return states


def parallel_scan(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """Compute the result of `sequential_scan` in depth `log2(time)`, for parallel devices."""
    a = a.expand(len(b), *a.shape[1:])
    return _odd_even_scan(a, torch.cat([b[:1] + a[:1] * h, b[1:]]))


def _odd_even_scan(a: Tensor, b: Tensor) -> Tensor:
    """Combine pairs of steps, scan these recursively, and fill in the steps between them."""
    time = len(b)
    if time == 1:
        return b
    even = 2 * (time // 2)
    odd = _odd_even_scan(a[1::2] * a[:even:2], torch.addcmul(b[1::2], a[1::2], b[:even:2]))
    states = torch.empty_like(b)
    states[0], states[1::2] = b[0], odd
    if time > 2:
        a_even = a[2::2]
        states[2::2] = torch.addcmul(b[2::2], a_even, odd[: len(a_even)])
    return states


def _decay_grad(a: Tensor, grad_b: Tensor, h: Tensor, states: Tensor) -> Tensor:
    """Compute the gradient of the decay factors, summed over axes on which they are constant."""
    first = grad_b[:1] * h.conj()
    if len(a) == len(grad_b):
        grad = torch.empty_like(grad_b)
        grad[:1] = first
        torch.mul(grad_b[1:], states[:-1].conj(), out=grad[1:])
        return grad.sum_to_size(a.shape)
    total = first.sum_to_size(a.shape)
    for grad, previous in zip(grad_b[1:].split(CHUNK), states[:-1].split(CHUNK), strict=True):
        total = total + (grad * previous.conj()).sum_to_size(a.shape)
    return total


def _use_parallel_scan(x: Tensor) -> bool:
    return x.is_cuda


def _reverse_scan(a: Tensor, grad: Tensor, grad_final: Tensor | None) -> Tensor:
    """Compute `g_t = grad_t + a_{t+1} g_{t+1}` backwards in time, without a gradient."""
    end = grad[-1] if grad_final is None else grad[-1] + grad_final
    if _use_parallel_scan(grad):
        flipped = torch.cat([end.unsqueeze(0), grad[:-1].flip(0)])
        next_a = a if len(a) == 1 else a.flip(0).roll(1, 0)
        return parallel_scan(next_a, flipped, torch.zeros_like(end)).flip(0)
    result = torch.empty_like(grad, memory_format=torch.contiguous_format)
    g = result[-1].copy_(end)
    a_steps = _unbind_time(a, len(grad))[1:]
    steps = zip(a_steps, grad[:-1].unbind(0), result[:-1].unbind(0), strict=True)
    for a_t, grad_t, out in reversed(list(steps)):
        g = torch.addcmul(grad_t, a_t, g, out=out)
    return result


def _unbind_time(a: Tensor, time: int) -> tuple[Tensor, ...]:
    return a.unbind(0) if len(a) == time else (a[0],) * time


def _final_state(states: Tensor, padding: PaddingInfo | None) -> Tensor:
    return padding.last_step(states) if padding else states[-1].clone()


def _merge_final_grad(
    states: Tensor,
    grad_states: Tensor | None,
    grad_final: Tensor | None,
    padding: PaddingInfo | None,
) -> tuple[Tensor, Tensor | None]:
    """Return the gradients of all states and, without padding, that of the final state.

    With padding, the gradient of the final state is added at the last real step of each sequence.
    """
    grad = torch.zeros_like(states) if grad_states is None else grad_states
    if grad_final is None or not padding:
        return grad, grad_final
    copy = grad.clone(memory_format=torch.contiguous_format)
    copy.flatten(0, 1).index_add_(0, padding.last_index, grad_final)
    return copy, None
