"""Compiled kernels of layers with layer norm equal plain PyTorch, for both kinds of norm."""

import pytest
import torch
from native_inputs import sequences
from torch import Tensor, nn

from rnn_lab.nn import LAYERS
from rnn_lab.nn.functional.state import as_tuple
from rnn_lab.nn.native.library import disabled

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("compiled")]
LENGTHS = torch.tensor([4, 9, 1, 7, 9, 2])
EXACT = {torch.float32: {"rtol": 1e-4, "atol": 1e-4}, torch.float64: {"rtol": 1e-8, "atol": 1e-10}}
every_layer = pytest.mark.parametrize("name", ["LayerNormLSTM", "LayerNormGRU"])
every_norm = pytest.mark.parametrize("norm", ["all", "gate"])


def build(name: str, norm: str, inputs: int = 5, units: int = 6, **options: object) -> nn.Module:
    torch.manual_seed(0)
    layer = LAYERS[name](inputs, units, norm=norm, **options)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -0.4, 0.6)
    return layer


def run(layer: nn.Module, x: Tensor, lengths: Tensor | None, read: str = "all") -> list[Tensor]:
    """Return output, final state, and the gradients of a weighted sum of what is read of these."""
    output, final = layer(x, lengths)
    values = [output, *as_tuple(final)]
    used = {"output": values[:1], "state": values[1:], "all": values}[read]
    weights = [torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y) for y in used]
    total = sum((y * w).sum() for y, w in zip(used, weights, strict=True))
    return [*values, *torch.autograd.grad(total, [x, *layer.parameters()])]


def assert_equal_to_plain(layer: nn.Module, x: Tensor, *arguments: object) -> None:
    results = run(layer, x, *arguments)
    with disabled():
        expected = run(layer, x, *arguments)
    torch.testing.assert_close(results, expected, **EXACT[x.dtype])


@every_layer
@every_norm
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("lengths", [LENGTHS, None], ids=["padded", "full"])
@pytest.mark.parametrize("read", ["output", "state", "all"])
@pytest.mark.parametrize(("inputs", "units"), [(1, 1), (5, 6), (33, 16), (16, 33), (64, 65)])
def test_values_and_gradients_equal_plain_pytorch(
    name: str,
    norm: str,
    dtype: torch.dtype,
    lengths: Tensor | None,
    read: str,
    inputs: int,
    units: int,
) -> None:
    options = {"num_layers": 2, "bidirectional": True, "trainable_initial_state": True}
    layer = build(name, norm, inputs, units, **options).to(dtype)
    assert_equal_to_plain(layer, sequences(inputs, dtype), lengths, read)


@every_layer
@every_norm
@pytest.mark.parametrize("mean", [30.0, -1000.0])
def test_a_large_mean_of_the_products_costs_no_precision(name: str, norm: str, mean: float) -> None:
    layer, x = build(name, norm, 37, 50), sequences(37)
    for weight in (layer.layers[0].cell.weight_ih, layer.layers[0].cell.weight_hh):
        weight.data[:, 3] += mean  # moves all units together
    exact = layer.double()(x.double())[0]
    torch.testing.assert_close(layer.float()(x)[0].double(), exact, rtol=1e-2, atol=1e-2)
    with disabled():
        plain = layer(x)[0].double()
    error, plain_error = ((y - exact).square().mean().sqrt() for y in (layer(x)[0], plain))
    assert error < 2 * plain_error


@every_layer
@every_norm
def test_equal_products_give_what_plain_pytorch_gives(name: str, norm: str) -> None:
    layer, x = build(name, norm, 37, 50).double(), sequences(37, torch.float64)
    for weight in (layer.layers[0].cell.weight_ih, layer.layers[0].cell.weight_hh):
        weight.data.zero_()
    assert_equal_to_plain(layer, x, LENGTHS)


@every_layer
@every_norm
def test_results_are_the_same_bits_alone_in_a_batch_and_with_padding(name: str, norm: str) -> None:
    layer, x = build(name, norm, 37, 50), sequences(37)
    output, state = layer(x, LENGTHS)
    (grad,) = torch.autograd.grad(output.square().sum(), x)
    for index, length in enumerate(LENGTHS.tolist()):
        row = x[index : index + 1, : max(length, 2)].detach().requires_grad_()
        alone, final = layer(row, LENGTHS[index : index + 1])
        (alone_grad,) = torch.autograd.grad(alone.square().sum(), row)
        assert torch.equal(output[index, :length], alone[0, :length])
        assert torch.equal(grad[index, :length], alone_grad[0, :length])
        for part, alone_part in zip(as_tuple(state), as_tuple(final), strict=True):
            assert torch.equal(part[:, index], alone_part[:, 0])


@every_layer
@every_norm
def test_results_are_the_same_bits_with_any_number_of_threads(
    name: str, norm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, x = build(name, norm, 37, 50, bidirectional=True), sequences(37)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    expected = run(layer, x, LENGTHS)
    for threads in (2, 3, 16):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=threads: n)
        for a, b in zip(run(layer, x, LENGTHS), expected, strict=True):
            assert torch.equal(a, b)


@every_layer
@every_norm
def test_a_second_backward_pass_gives_the_same_gradients(name: str, norm: str) -> None:
    layer, x = build(name, norm), sequences()
    output, _ = layer(x, LENGTHS)
    loss, tensors = output.square().sum(), [x, *layer.parameters()]
    first = torch.autograd.grad(loss, tensors, retain_graph=True)
    for _ in range(2):
        again = torch.autograd.grad(loss, tensors, retain_graph=True)
        assert all(torch.equal(a, b) for a, b in zip(again, first, strict=True))


@every_layer
@every_norm
def test_gradients_equal_finite_differences(name: str, norm: str) -> None:
    layer, x = build(name, norm).double(), sequences(dtype=torch.float64)
    weights = dict(layer.named_parameters())

    def function(x: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        parameters = dict(zip(weights, values, strict=True))
        output, state = torch.func.functional_call(layer, parameters, (x, LENGTHS))
        return output, *as_tuple(state)

    assert torch.autograd.gradcheck(function, (x, *weights.values()), fast_mode=True)


@every_layer
@every_norm
def test_second_derivatives_are_refused(name: str, norm: str) -> None:
    output, _ = build(name, norm)(sequences(), LENGTHS)
    with pytest.raises(RuntimeError, match=f"_{norm} has no second derivative"):
        output.sum().backward(create_graph=True)


@every_layer
@every_norm
def test_without_gradients_only_the_output_is_kept(name: str, norm: str) -> None:
    layer, x = build(name, norm), sequences()
    expected = layer(x, LENGTHS)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x, LENGTHS), expected, rtol=0, atol=0)
