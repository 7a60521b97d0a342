"""Laws of activations computed for several gates together."""

import pytest
import torch
from torch import Tensor

from rnn_lab.nn.functional.activations import activate, softplus_like

TIME, BATCH, UNITS = 4, 3, 2
ACTIVATIONS = ("tanh", "sigmoid", "one_minus_sigmoid", "softplus_like", "identity")


def randn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def test_each_gate_gets_its_activation() -> None:
    preactivations = randn(TIME, BATCH, 5 * UNITS)
    tanh, sigmoid, one_minus_sigmoid, positive, identity = activate(preactivations, ACTIVATIONS)
    a, b, c, d, e = preactivations.split(UNITS, -1)
    torch.testing.assert_close((tanh, sigmoid), (a.tanh(), b.sigmoid()))
    torch.testing.assert_close(one_minus_sigmoid, 1 - c.sigmoid())
    torch.testing.assert_close(positive, torch.where(d >= 0, d + 0.5, d.sigmoid()))
    torch.testing.assert_close(identity, e)


def test_the_offset_is_added_to_the_first_step_only() -> None:
    preactivations, offset = randn(TIME, BATCH, 5 * UNITS), randn(BATCH, 5 * UNITS, seed=1)
    together = torch.cat([preactivations[:1] + offset, preactivations[1:]])
    torch.testing.assert_close(
        activate(preactivations, ACTIVATIONS, offset), activate(together, ACTIVATIONS)
    )


@pytest.mark.parametrize("with_offset", [False, True])
def test_gradients_equal_finite_differences(with_offset: bool) -> None:
    preactivations = randn(TIME, BATCH, 5 * UNITS).requires_grad_()
    offset = randn(BATCH, 5 * UNITS, seed=1).requires_grad_() if with_offset else None
    assert torch.autograd.gradcheck(activate, (preactivations, ACTIVATIONS, offset))


def test_softplus_like_is_positive_with_the_slopes_of_both_branches() -> None:
    x = torch.tensor([-2.0, -0.5, 0.5, 2.0], requires_grad=True)
    y = softplus_like(x)
    y.sum().backward()
    assert (y > 0).all()
    below = x[:2].detach().sigmoid()
    torch.testing.assert_close(x.grad, torch.cat([below * (1 - below), torch.ones(2)]))
