"""Recurrences that are linear in their state, `h_t = a_t h_{t-1} + b_t`, with lean gradients.

All that depends on the input alone is known before the loop, so what is left for a step is one
multiply-add. On a CPU that is a loop over time which writes into one buffer: faster and more exact
than a scan in logarithms or in a tree. On CUDA, where the start of each operation costs more than
the work it does, it is a tree of logarithmic depth. Either way the gradient is the same recurrence
run backwards.

Arrays have time first. Everything here is once differentiable.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from rnn_lab.nn.functional.padding import Rows

BLOCK = 64  # steps whose products are summed up while they are still in the cache


def scan(a: Tensor, b: Tensor, h: Tensor, rows: Rows | None = None) -> tuple[Tensor, Tensor]:
    """Run `h_t = a_t h_{t-1} + b_t`.

    Source: Martin & Cundy (2018), https://arxiv.org/abs/1709.04057, for the tree.

    Args:
        a: How much of the state stays, `(time, batch, ...)`, or 1 on an axis where it is the same.
        b: What is added to it, `(time, batch, ...)`.
        h: The state before the first step, `(batch, ...)`.
        rows: Where the real steps are; None: all rows are full.

    Returns:
        The states, like `b`, and each row's state after its last real step, like `h`.
    """
    return _Scan.apply(a, b, h, rows)


def blend(a: Tensor, x: Tensor, h: Tensor, rows: Rows | None = None) -> tuple[Tensor, Tensor]:
    """Run `h_t = a_t h_{t-1} + (1 - a_t) x_t`.

    Args:
        a: How much of the state stays, `(time, batch, units)`.
        x: What the state moves to, like `a`.
        h: The state before the first step, `(batch, units)`.
        rows: Where the real steps are; None: all rows are full.

    Returns:
        The states, like `a`, and each row's state after its last real step, like `h`.
    """
    return _Blend.apply(a, x, h, rows)


def rotate(a: Tensor, b: Tensor, h: Tensor, rows: Rows | None = None) -> tuple[Tensor, Tensor]:
    """Run `h_t = a_t h_{t-1} + b_t` in complex numbers, of which each is a pair of real ones.

    Args:
        a: The factors, `(time, batch, units, 2)`, or 1 for time and batch where they are the same.
        b: What is added, `(time, batch, units, 2)`.
        h: The state before the first step, `(batch, units, 2)`.
        rows: Where the real steps are; None: all rows are full.

    Returns:
        The states, like `b`, and each row's state after its last real step, like `h`.
    """
    a, b, h = (torch.view_as_complex(part.contiguous()) for part in (a, b, h))
    states, last = _Scan.apply(a, b, h, rows)
    return torch.view_as_real(states), torch.view_as_real(last)


class _Scan(Function):
    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, h: Tensor, rows: Rows | None
    ) -> tuple[Tensor, Tensor]:
        states = _states(a, b, h)
        ctx.rows = rows
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(a, h, states)
        return states, _last(states, rows)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, to_states: Tensor | None, to_last: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        a, h, states = ctx.saved_tensors
        turned = a.conj().resolve_conj()
        to_b = _back(turned, *_both(states, to_states, to_last, ctx.rows))
        to_a = _to_factors(a, to_b, h, states) if ctx.needs_input_grad[0] else None
        return to_a, to_b, turned[0] * to_b[0], None


class _Blend(Function):
    @staticmethod
    def forward(
        ctx: Any, a: Tensor, x: Tensor, h: Tensor, rows: Rows | None
    ) -> tuple[Tensor, Tensor]:
        if _in_parallel(x):
            states = tree(a, x - a * x, h)
        else:
            states, before = torch.empty_like(x), h
            for a_t, x_t, after in zip(a.unbind(0), x.unbind(0), states.unbind(0), strict=True):
                before = torch.lerp(x_t, before, a_t, out=after)
        ctx.rows = rows
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(a, x, h, states)
        return states, _last(states, rows)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, to_states: Tensor | None, to_last: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        a, x, h, states = ctx.saved_tensors
        to_h = _back(a, *_both(states, to_states, to_last, ctx.rows))
        to_a = torch.empty_like(to_h)
        torch.sub(states[:-1], x[1:], out=to_a[1:])
        torch.sub(h, x[0], out=to_a[0])
        return to_a.mul_(to_h), torch.addcmul(to_h, to_h, a, value=-1), a[0] * to_h[0], None


def loop(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """Give all states of `h_t = a_t h_{t-1} + b_t` step by step, without a gradient."""
    states = torch.empty_like(b)
    for a_t, b_t, after in zip(_steps(a, len(b)), b.unbind(0), states.unbind(0), strict=True):
        h = torch.addcmul(b_t, a_t, h, out=after)
    return states


def tree(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """Give what `loop` gives in a depth of `log2(time)`: for devices that work in parallel."""
    a = a.expand(len(b), *a.shape[1:])
    return _halve(a, torch.cat([b[:1] + a[:1] * h, b[1:]]))


def _halve(a: Tensor, b: Tensor) -> Tensor:
    """Two steps are one step of half as many: solve those, then fill in what lies between."""
    time = len(b)
    if time == 1:
        return b
    even = 2 * (time // 2)
    odd = _halve(a[1::2] * a[:even:2], torch.addcmul(b[1::2], a[1::2], b[:even:2]))
    states = torch.empty_like(b)
    states[0], states[1::2] = b[0], odd
    if time > 2:
        later = a[2::2]
        states[2::2] = torch.addcmul(b[2::2], later, odd[: len(later)])
    return states


def _to_factors(a: Tensor, to_b: Tensor, h: Tensor, states: Tensor) -> Tensor:
    first = to_b[:1] * h.conj()
    if len(a) == len(to_b):
        rest = torch.empty_like(to_b)
        rest[:1] = first
        torch.mul(to_b[1:], states[:-1].conj(), out=rest[1:])
        return rest.sum_to_size(a.shape)
    total = first.sum_to_size(a.shape)
    for grad, before in zip(to_b[1:].split(BLOCK), states[:-1].split(BLOCK), strict=True):
        total = total + (grad * before.conj()).sum_to_size(a.shape)
    return total


def _in_parallel(x: Tensor) -> bool:
    return x.is_cuda


def _states(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    return (tree if _in_parallel(b) else loop)(a, b, h)


def _back(a: Tensor, grad: Tensor, last: Tensor | None) -> Tensor:
    """Run the recurrence backwards: `g_t = grad_t + a_{t+1} g_{t+1}`, without a gradient."""
    end = grad[-1] if last is None else grad[-1] + last
    if _in_parallel(grad):
        turned = torch.cat([end.unsqueeze(0), grad[:-1].flip(0)])
        later = a if len(a) == 1 else a.flip(0).roll(1, 0)
        return tree(later, turned, torch.zeros_like(end)).flip(0)
    back = torch.empty_like(grad, memory_format=torch.contiguous_format)
    after = back[-1].copy_(end)
    steps = zip(_steps(a, len(grad))[1:], grad[:-1].unbind(0), back[:-1].unbind(0), strict=True)
    for a_t, grad_t, before in reversed(list(steps)):
        after = torch.addcmul(grad_t, a_t, after, out=before)
    return back


def _steps(a: Tensor, time: int) -> tuple[Tensor, ...]:
    return a.unbind(0) if len(a) == time else (a[0],) * time


def _last(states: Tensor, rows: Rows | None) -> Tensor:
    return rows.last(states) if rows else states[-1].clone()


def _both(
    states: Tensor, to_states: Tensor | None, to_last: Tensor | None, rows: Rows | None
) -> tuple[Tensor, Tensor | None]:
    """Give the gradients of all states and, where all rows end together, of the last of them."""
    grad = torch.zeros_like(states) if to_states is None else to_states
    if to_last is None or not rows:
        return grad, to_last
    copy = grad.clone(memory_format=torch.contiguous_format)
    copy.flatten(0, 1).index_add_(0, rows.final, to_last)
    return copy, None
