"""Laws of states of one or several tensors, and of zoneout."""

import pytest
import torch

from rnn_lab.nn.functional.state import (
    as_tuple,
    from_tuple,
    map_state,
    stack_state,
    unstack_state,
    zoneout,
)

STATES = [torch.arange(12.0).view(2, 3, 2), (torch.ones(2, 3, 2), torch.zeros(2, 3, 4))]
every_state = pytest.mark.parametrize("state", STATES, ids=["tensor", "tuple"])


@every_state
def test_conversions_are_inverse(state: object) -> None:
    assert from_tuple(as_tuple(state)) is state or from_tuple(as_tuple(state)) == state
    torch.testing.assert_close(stack_state(unstack_state(state)), state)


@every_state
def test_a_state_is_unstacked_by_layer(state: object) -> None:
    layers = unstack_state(state)
    assert len(layers) == 2
    assert all(torch.equal(a, b[1]) for a, b in zip(layers[1], as_tuple(state), strict=True))


@every_state
def test_a_function_is_applied_to_every_tensor(state: object) -> None:
    doubled = map_state(state, lambda part: 2 * part)
    assert isinstance(doubled, tuple) == isinstance(state, tuple)
    pairs = zip(as_tuple(doubled), as_tuple(state), strict=True)
    assert all(torch.equal(a, 2 * b) for a, b in pairs)


def test_zoneout_keeps_units_at_random_in_training_and_averages_in_evaluation() -> None:
    torch.manual_seed(0)
    previous, new = (torch.zeros(100, 100),), (torch.ones(100, 100),)
    (sampled,) = zoneout(previous, new, 0.3, training=True)
    assert set(sampled.unique().tolist()) == {0.0, 1.0}
    assert sampled.mean().item() == pytest.approx(0.7, abs=0.02)
    (expected,) = zoneout(previous, new, 0.3, training=False)
    torch.testing.assert_close(expected, torch.full_like(expected, 0.7))
    assert zoneout(previous, new, 0.0, training=True) is new
