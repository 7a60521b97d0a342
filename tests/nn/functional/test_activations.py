"""Laws of the activations that many gates take at once."""

import pytest
import torch
from torch import Tensor

from rnn_lab.nn.functional.activations import activate, softplus_like

TIME, BATCH, UNITS = 4, 3, 2
ACTIVATIONS = ("tanh", "sigmoid", "one_minus_sigmoid", "softplus_like", "identity")


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def test_each_gate_has_its_activation() -> None:
    products = draw(TIME, BATCH, 5 * UNITS)
    squashed, opened, shut, made, same = activate(products, ACTIVATIONS)
    a, b, c, d, e = products.split(UNITS, -1)
    torch.testing.assert_close((squashed, opened, shut), (a.tanh(), b.sigmoid(), 1 - c.sigmoid()))
    torch.testing.assert_close(made, torch.where(d >= 0, d + 0.5, d.sigmoid()))
    torch.testing.assert_close(same, e)


def test_the_past_is_added_to_the_first_step_alone() -> None:
    products, past = draw(TIME, BATCH, 5 * UNITS), draw(BATCH, 5 * UNITS, seed=1)
    together = torch.cat([products[:1] + past, products[1:]])
    torch.testing.assert_close(
        activate(products, ACTIVATIONS, past), activate(together, ACTIVATIONS)
    )


@pytest.mark.parametrize("with_past", [False, True])
def test_gradients_are_those_of_finite_differences(with_past: bool) -> None:
    products = draw(TIME, BATCH, 5 * UNITS).requires_grad_()
    past = draw(BATCH, 5 * UNITS, seed=1).requires_grad_() if with_past else None
    assert torch.autograd.gradcheck(activate, (products, ACTIVATIONS, past))


def test_positive_numbers_have_the_slopes_of_both_halves() -> None:
    x = torch.tensor([-2.0, -0.5, 0.5, 2.0], requires_grad=True)
    y = softplus_like(x)
    y.sum().backward()
    assert (y > 0).all()
    below = x[:2].detach().sigmoid()
    torch.testing.assert_close(x.grad, torch.cat([below * (1 - below), torch.ones(2)]))
