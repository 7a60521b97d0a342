"""State of recurrent layers: a tensor or a tuple of tensors, each with the batch on axis 1."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from rnn_lab.nn.functional.precision import to_common_dtype

State = Any  # a Tensor, or a tuple of Tensors for layers with several states such as (h, c)
LayerState = tuple[Tensor, ...]  # state of one layer and direction, each tensor `(batch, ...)`


def as_tuple(state: State) -> tuple[Tensor, ...]:
    """Return the tensors of a state as a tuple, also if there is only one."""
    return state if isinstance(state, tuple) else (state,)


def from_tuple(tensors: Iterable[Tensor]) -> State:
    """Return a state from its tensors: a tuple, or the tensor itself if there is only one."""
    state = tuple(tensors)
    return state if len(state) > 1 else state[0]


def map_state(state: State, function: Callable[[Tensor], Tensor]) -> State:
    """Apply a function to every tensor of a state, for example to detach it or to select rows."""
    return from_tuple(function(tensor) for tensor in as_tuple(state))


def unstack_state(state: State) -> list[LayerState]:
    """Split a state into the states of its layers and directions."""
    return list(zip(*(tensor.unbind(0) for tensor in as_tuple(state)), strict=True))


def stack_state(layer_states: Iterable[LayerState]) -> State:
    """Stack the states of all layers and directions; the inverse of `unstack_state`."""
    return from_tuple(torch.stack(tensors) for tensors in zip(*layer_states, strict=True))


def zoneout(previous: LayerState, new: LayerState, p: float, training: bool) -> LayerState:
    """Apply zoneout: keep units of the previous state at random; use the mean in evaluation.

    Source: Krueger et al. (2017), https://arxiv.org/abs/1606.01305, section 3.

    Args:
        previous: State before a time step.
        new: State after it, shaped like `previous`.
        p: Probability of keeping the previous value, drawn independently for each unit.
        training: Whether to sample.

    Returns:
        The state passed to the next time step, shaped like `previous`.
    """
    if p == 0:
        return new
    pairs = [to_common_dtype(*pair) for pair in zip(previous, new, strict=True)]
    if not training:
        return tuple(torch.lerp(b, a, p) for a, b in pairs)
    return tuple(torch.where(torch.rand_like(b) < p, a, b) for a, b in pairs)
