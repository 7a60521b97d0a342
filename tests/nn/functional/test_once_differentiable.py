"""Second derivatives of the library's own autograd functions are right or refused."""

import inspect

import pytest
import torch
from torch.autograd import Function, gradcheck, gradgradcheck

import rnn_lab.nn
from rnn_lab.nn import linear_cross_entropy
from rnn_lab.nn.functional.linear import DeferredLinear, linear
from rnn_lab.nn.functional.once_differentiable import once_differentiable

REFUSED = "has no second derivative: create_graph=True"
TWICE = {"_Linear", "_Recurrence"}  # their gradient is differentiable


def functions(base=Function):
    for function in base.__subclasses__():
        yield from functions(function)
        if function.__module__.startswith("rnn_lab."):
            yield function


def test_every_function_refuses_second_derivatives_or_has_them():
    assert rnn_lab.nn.LAYERS
    unmarked = {f.__name__ for f in functions() if not hasattr(f.backward, "__wrapped__")}
    assert unmarked == TWICE


class Square(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return 2 * ctx.saved_tensors[0].detach() * grad


def test_only_a_graph_of_the_gradient_is_refused():
    x = torch.tensor(3.0, requires_grad=True)
    assert torch.autograd.grad(Square.apply(x), x)[0] == 6
    Square.apply(x).backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="SquareBackward " + REFUSED):
        torch.autograd.grad(Square.apply(x), x, create_graph=True)
    assert list(inspect.signature(Square.backward).parameters) == ["ctx", "grad"]


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_map_is_twice_differentiable(bias):
    torch.manual_seed(0)
    sizes = [(2, 3, 4), (5, 4), *([(5,)] if bias else [])]
    inputs = [torch.randn(size, dtype=torch.double, requires_grad=True) for size in sizes]
    assert gradcheck(linear, inputs)
    assert gradgradcheck(linear, inputs)


def test_a_deferred_linear_map_and_the_cross_entropy_refuse():
    torch.manual_seed(0)
    weight, x = torch.randn(5, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    bias = torch.zeros(5)
    loss = linear_cross_entropy(x, weight, bias, torch.tensor([1, 2, 3]), ignore_index=0)
    for value in (DeferredLinear(weight, bias)(x, None).sum(), loss):
        with pytest.raises(RuntimeError, match=REFUSED):
            torch.autograd.grad(value, weight, create_graph=True)
