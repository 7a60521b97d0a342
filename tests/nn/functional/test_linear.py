"""Linear maps computed by oneDNN equal those of torch."""

import pytest
import torch
from torch.nn import functional

from rnn_lab.nn.functional import linear as module
from rnn_lab.nn.functional.linear import Linear, linear, linear_nograd


def inputs(*rows):
    torch.manual_seed(0)
    x, weight, bias = torch.randn(*rows, 7), torch.randn(5, 7), torch.randn(5)
    return x.requires_grad_(), weight.requires_grad_(), bias.requires_grad_()


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("rows", [(3,), (1,), (0,), (2, 3), (2, 1, 4)])
def test_value_and_gradients_equal_those_of_torch(rows, biased):
    ours, theirs = inputs(*rows), inputs(*rows)
    mine = linear(*ours[: 2 + biased])
    expected = functional.linear(*theirs[: 2 + biased])
    torch.testing.assert_close(mine, expected)
    mine.square().sum().backward()
    expected.square().sum().backward()
    for a, b in zip(ours[: 2 + biased], theirs, strict=False):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_all_strides_and_dtypes_are_supported(dtype):
    x, weight, _ = (part.detach().to(dtype) for part in inputs(4))
    torch.testing.assert_close(linear_nograd(x, weight), functional.linear(x, weight))
    weight_slice, x_slice = weight[:, 2:5], x[:, 2:5]
    torch.testing.assert_close(
        linear_nograd(x_slice, weight_slice), functional.linear(x_slice, weight_slice)
    )
    torch.testing.assert_close(
        linear_nograd(weight.t(), x[:, :5]), functional.linear(weight.t(), x[:, :5])
    )


def test_inputs_without_requires_grad_get_no_gradient():
    x, weight, bias = inputs(3)
    linear(x.detach(), weight, bias).sum().backward()
    assert x.grad is None
    assert weight.grad is not None


def test_the_result_is_the_same_without_onednn(monkeypatch):
    x, weight, bias = inputs(3)
    expected = linear(x, weight, bias)
    monkeypatch.setattr(module, "_onednn", None)
    torch.testing.assert_close(linear(x, weight, bias), expected)


def test_autocast_sets_the_output_dtype():
    layer = Linear(7, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(3, 7)).dtype == torch.bfloat16


def test_the_layer_has_torchs_parameter_names():
    layer, own = Linear(7, 5), torch.nn.Linear(7, 5)
    own.load_state_dict(layer.state_dict())
    x = torch.randn(3, 7)
    torch.testing.assert_close(layer(x), own(x))
