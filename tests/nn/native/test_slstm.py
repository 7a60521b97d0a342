"""The compiled kernel of an sLSTM: heads, the stabilizer, and gates of extreme values."""

import pytest
import torch
from torch import Tensor, nn

from rnn_lab.nn.layers import SLSTMCell
from rnn_lab.nn.layers.unrolled import UnrolledLayer
from rnn_lab.nn.native.library import disabled

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("compiled")]
TIME, BATCH, INPUT, HIDDEN = 7, 5, 4, 6


def build(heads: int = 1) -> UnrolledLayer:
    torch.manual_seed(0)
    layer = UnrolledLayer(SLSTMCell(INPUT, HIDDEN, heads=heads)).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer


def results(layer: UnrolledLayer, x: Tensor, state: list[Tensor], weights: list[float]) -> list:
    """Return the final states and the gradients of a weighted sum of output and final states."""
    output, final = layer(x, tuple(state), None)
    values = [output.sum(0), *final]
    total = sum(((y * y).sum() * w for y, w in zip(values, weights, strict=True)), x.sum())
    return [*values, *torch.autograd.grad(total, [x, *state, *layer.parameters()])]


def equal_to_plain(layer: UnrolledLayer, x: Tensor, state: list, weights: list[float]) -> None:
    compiled = results(layer, x, state, weights)
    with disabled():
        torch.testing.assert_close(compiled, results(layer, x, state, weights))


def inputs(scale: float = 1) -> Tensor:
    return (scale * torch.randn(TIME, BATCH, INPUT, dtype=torch.double)).requires_grad_()


def random_state(first_step: bool) -> list[Tensor]:
    h, c, n, m = torch.rand(4, BATCH, HIDDEN, dtype=torch.double).unbind(0)
    if first_step:
        c, n, m = (torch.zeros_like(part) for part in (c, n, m))
        n[1], m[1] = 0.5, 0.25  # one sequence continues
    return [part.requires_grad_() for part in (h, c, n, m)]


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("first_step", [False, True])
@pytest.mark.parametrize("memory", [0, 4])
@pytest.mark.parametrize("weights", [[1, 0, 0, 0, 0], [1, 2, 3, 4, 5], [0, 0, 0, 0, 1]], ids=str)
def test_gradients_through_the_stabilizer_equal_plain_pytorch(heads, memory, first_step, weights):
    layer = build(heads)
    layer.cell.bias_ih.data[:HIDDEN] -= memory  # so that m comes from the first step
    layer.cell.bias_ih.data[HIDDEN : 2 * HIDDEN] += memory
    equal_to_plain(layer, inputs(), random_state(first_step), weights)


@pytest.mark.parametrize("scale", [30, 300])
def test_values_and_gradients_where_exponentials_overflow_equal_plain_pytorch(scale):
    equal_to_plain(build(), inputs(scale), random_state(True), [1, 1, 1, 0, 0])


def test_equal_exponents_share_the_gradient_of_the_stabilizer():
    layer = build()
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    layer.cell.bias_ih.data[:HIDDEN] = (
        torch.tensor(0.5).double().log()
    )  # i = log sigmoid(f) while m is 0
    state = random_state(False)
    state[3] = torch.zeros_like(state[3]).requires_grad_()
    equal_to_plain(layer, inputs(), state, [1, 2, 3, 4, 5])


def test_single_precision_is_as_accurate_as_plain_pytorch():
    layer, x, state = build(), inputs(3).detach(), random_state(True)
    exact, _ = layer(x, tuple(state), None)
    layer, single = layer.float(), [part.float() for part in state]
    errors = []
    output, _ = layer(x.float(), tuple(single), None)
    errors.append((output - exact).abs().max())
    with disabled():
        output, _ = layer(x.float(), tuple(single), None)
    errors.append((output - exact).abs().max())
    assert errors[0] < 3 * errors[1]
    assert errors[0] < 1e-5
