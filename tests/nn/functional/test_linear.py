"""Products by another library are the same products."""

import pytest
import torch
from torch.nn import functional

from rnn_lab.nn.functional import linear as products
from rnn_lab.nn.functional.linear import Linear, linear, linear_nograd


def parts(*rows):
    torch.manual_seed(0)
    x, weight, bias = torch.randn(*rows, 7), torch.randn(5, 7), torch.randn(5)
    return x.requires_grad_(), weight.requires_grad_(), bias.requires_grad_()


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("rows", [(3,), (1,), (0,), (2, 3), (2, 1, 4)])
def test_value_and_gradients_are_torchs_own(rows, biased):
    ours, theirs = parts(*rows), parts(*rows)
    mine = linear(*ours[: 2 + biased])
    expected = functional.linear(*theirs[: 2 + biased])
    torch.testing.assert_close(mine, expected)
    mine.square().sum().backward()
    expected.square().sum().backward()
    for a, b in zip(ours[: 2 + biased], theirs, strict=False):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_strides_and_types_do_not_matter(dtype):
    x, weight, _ = (part.detach().to(dtype) for part in parts(4))
    torch.testing.assert_close(linear_nograd(x, weight), functional.linear(x, weight))
    half, whole = weight[:, 2:5], x[:, 2:5]
    torch.testing.assert_close(linear_nograd(whole, half), functional.linear(whole, half))
    torch.testing.assert_close(
        linear_nograd(weight.t(), x[:, :5]), functional.linear(weight.t(), x[:, :5])
    )


def test_what_needs_no_gradient_gets_none():
    x, weight, bias = parts(3)
    linear(x.detach(), weight, bias).sum().backward()
    assert x.grad is None
    assert weight.grad is not None


def test_without_the_library_nothing_changes(monkeypatch):
    x, weight, bias = parts(3)
    quick = linear(x, weight, bias)
    monkeypatch.setattr(products, "_onednn", None)
    torch.testing.assert_close(linear(x, weight, bias), quick)


def test_autocast_rules_as_ever():
    layer = Linear(7, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(3, 7)).dtype == torch.bfloat16


def test_the_layer_keeps_torchs_names():
    layer, own = Linear(7, 5), torch.nn.Linear(7, 5)
    own.load_state_dict(layer.state_dict())
    x = torch.randn(3, 7)
    torch.testing.assert_close(layer(x), own(x))
