"""The state of recurrent layers: a tensor or a tuple of tensors, batch on axis 1 of each."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

State = Any  # a Tensor, or a tuple of them where a layer keeps several things
Parts = tuple[Tensor, ...]  # of one layer and direction, each `(batch, ...)`


def parts(state: State) -> Parts:
    """Give the tensors of a state as a tuple, also where it is only one."""
    return state if isinstance(state, tuple) else (state,)


def whole(parts: Iterable[Tensor]) -> State:
    """Make a state of its tensors: a tuple, or the only one."""
    made = tuple(parts)
    return made if len(made) > 1 else made[0]


def change(state: State, by: Callable[[Tensor], Tensor]) -> State:
    """Do the same to every tensor of a state, such as detaching it or choosing some rows."""
    return whole(by(part) for part in parts(state))


def split(state: State) -> list[Parts]:
    """Take a state apart by layers and directions."""
    return list(zip(*(part.unbind(0) for part in parts(state)), strict=True))


def join(states: Iterable[Parts]) -> State:
    """Put the states of all layers and directions together again."""
    return whole(torch.stack(part) for part in zip(*states, strict=True))


def zoneout(before: Parts, after: Parts, p: float, training: bool) -> Parts:
    """Keep units of a state as they were, at random in training, by the mean in evaluation.

    Source: Krueger et al. (2017), https://arxiv.org/abs/1606.01305, section 3.

    Args:
        before: The state before a step.
        after: The state after it, like `before`.
        p: Probability of keeping a unit, drawn for each on its own.
        training: Whether to draw.

    Returns:
        The state that goes on, like `before`.
    """
    if p == 0:
        return after
    if not training:
        return tuple(torch.lerp(new, old, p) for old, new in zip(before, after, strict=True))
    return tuple(
        torch.where(torch.rand_like(new) < p, old, new)
        for old, new in zip(before, after, strict=True)
    )
