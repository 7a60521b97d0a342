"""Laws of the parts shared by the kernels of cells."""

import pytest
import torch
import torch.nn.functional as F

from rnn_lab.nn.functional.step_kernels import (
    CHUNK,
    backward_steps,
    linear_backward,
    norm_forward,
    norm_input_grad,
    tanh_by_sigmoid,
    time_chunks,
)


@pytest.mark.parametrize("time", [1, CHUNK, CHUNK + 1, 3 * CHUNK - 1])
def test_chunks_cover_all_steps_once(time: int) -> None:
    steps = [t for chunk in time_chunks(time) for t in range(time)[chunk]]
    assert steps == list(range(time))


def test_backward_steps_start_at_the_last_step() -> None:
    assert list(backward_steps(slice(4, 7), "abc")) == [(6, "c"), (5, "b"), (4, "a")]


def test_tanh_by_sigmoid_is_tanh() -> None:
    x = torch.linspace(-9, 9, 50, dtype=torch.double)
    torch.testing.assert_close(tanh_by_sigmoid(x, torch.empty_like(x)), x.tanh())


def test_the_backward_recurrence_equals_autograd() -> None:
    torch.manual_seed(0)
    decay, grads = torch.randn(5, 2, 3).double(), torch.randn(5, 2, 3).double()
    u, h0 = torch.zeros(5, 2, 3).double().requires_grad_(), torch.zeros(2, 3).double()
    h, states = h0.requires_grad_(), []
    for t in range(5):
        h = decay[t] * h + u[t]
        states.append(h)
    expected = torch.autograd.grad((torch.stack(states) * grads).sum(), (u, h0))
    initial = linear_backward(grads, decay, torch.zeros(2, 3).double())
    torch.testing.assert_close((grads, initial), expected)


@pytest.mark.parametrize("groups", [1, 3])
def test_layer_norm_by_groups_and_its_gradient_equal_those_of_torch(groups: int) -> None:
    torch.manual_seed(0)
    x, gain, bias = torch.randn(4, 6).requires_grad_(), torch.randn(6), torch.randn(6)
    normed, stats = norm_forward(x.detach(), gain, bias, groups)
    parts = F.layer_norm(x.unflatten(1, (groups, -1)), (6 // groups,))
    expected = parts.flatten(1) * gain + bias
    torch.testing.assert_close(normed, expected)
    grad = torch.randn(4, 6)
    (expected_grad,) = torch.autograd.grad(expected, x, grad)
    torch.testing.assert_close(norm_input_grad(grad, stats, gain, groups), expected_grad)
