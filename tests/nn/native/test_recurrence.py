"""Compiled kernels equal plain PyTorch for every option, and give the same bits in any batch.

The laws of all layers run with compiled kernels by `make test-kernels`.
"""

import pytest
import torch
from native_inputs import sequences
from torch import Tensor, nn

from rnn_lab.nn import LAYERS
from rnn_lab.nn.functional.state import as_tuple
from rnn_lab.nn.native import recurrence
from rnn_lab.nn.native.library import disabled
from rnn_lab.nn.native.recurrence import supports

pytestmark = pytest.mark.slow
LENGTHS = torch.tensor([4, 9, 1, 7, 9, 2])
every_layer = pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM", "PeepholeLSTM", "SLSTM"])


def build(name: str, inputs: int = 5, units: int = 6, *, seed: int = 0, **options) -> nn.Module:
    torch.manual_seed(seed)
    layer = LAYERS[name](inputs, units, **options)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -0.3, 0.3)
    return layer


def run(layer: nn.Module, x: Tensor, lengths: Tensor | None = None, state=None) -> list[Tensor]:
    """Return output, final state, and all gradients of a weighted sum of these."""
    torch.manual_seed(2)
    output, final = layer(x, lengths, state)
    values = [output, *as_tuple(final)]
    weights = [torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y) for y in values]
    total = sum((y * w).sum() for y, w in zip(values, weights, strict=True))
    tensors = [x, *layer.parameters(), *(as_tuple(state) if state is not None else ())]
    return [*values, *torch.autograd.grad(total, tensors, allow_unused=True)]


def assert_equal_to_plain(layer: nn.Module, x: Tensor, *arguments, **tolerances) -> None:
    results = run(layer, x, *arguments)
    with disabled():
        expected = run(layer, x, *arguments)
    torch.testing.assert_close(results, expected, **tolerances)


@every_layer
@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lengths", [LENGTHS, None], ids=["padded", "full"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    ("inputs", "units"), [(1, 1), (5, 6), (33, 16), (16, 33), (64, 65)], ids=lambda size: str(size)
)
def test_values_and_gradients_equal_plain_pytorch(
    name, dtype, lengths, bidirectional, inputs, units
):
    layer = build(name, inputs, units, num_layers=2, bidirectional=bidirectional).to(dtype)
    x = sequences(inputs, dtype=dtype)
    shape = (4 if bidirectional else 2, len(x), units)
    parts = [torch.rand(shape, dtype=dtype).requires_grad_() for _ in layer.state_shapes()]
    state = tuple(parts) if len(parts) > 1 else parts[0]
    exact = (
        {"rtol": 1e-9, "atol": 1e-11} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-4}
    )
    assert_equal_to_plain(layer, x, lengths, state, **exact)


@every_layer
@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.5},
        {"dropout": 0.5, "variational_dropout": True},
        {"weight_drop": 0.5},
        {"zoneout": 0.3},
        {"trainable_initial_state": True},
    ],
    ids=lambda options: " ".join(options),
)
def test_training_draws_the_same_random_numbers_as_plain_pytorch(name, options):
    layer = build(name, num_layers=2, **options)
    assert_equal_to_plain(layer, sequences(), LENGTHS, rtol=1e-4, atol=1e-5)
    assert_equal_to_plain(layer.eval(), sequences(), LENGTHS, rtol=1e-4, atol=1e-5)


@every_layer
@pytest.mark.usefixtures("compiled")
def test_results_are_the_same_bits_alone_in_a_batch_and_with_padding(name):
    layer, x = build(name, 37, 50), sequences(37).detach()
    with torch.no_grad():
        output, state = layer(x, LENGTHS)
        for index, length in enumerate(LENGTHS.tolist()):
            alone, final = layer(x[index : index + 1, : max(length, 2)], LENGTHS[index : index + 1])
            assert torch.equal(output[index, :length], alone[0, :length])
            for part, alone_part in zip(as_tuple(state), as_tuple(final), strict=True):
                assert torch.equal(part[:, index], alone_part[:, 0])


@every_layer
@pytest.mark.usefixtures("compiled")
def test_results_are_the_same_bits_with_any_number_of_threads(name, monkeypatch):
    layer, x = build(name, 37, 50, bidirectional=True), sequences(37)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    expected = run(layer, x, LENGTHS)
    for threads in (2, 3, 16):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=threads: n)
        for a, b in zip(run(layer, x, LENGTHS), expected, strict=True):
            assert a is b is None or torch.equal(a, b)


LAYOUTS = {
    "batch first": lambda x: x,
    "time first": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "part of the steps": lambda x: torch.cat([x, x], 1)[:, : x.size(1)],
    "part of the features": lambda x: torch.cat([x, x], 2)[..., : x.size(2)],
    "features apart": lambda x: x.mT.contiguous().mT,
    "equal steps": lambda x: x[:, :1].expand_as(x),
    "equal sequences": lambda x: x[:1].expand_as(x),
    "equal values": lambda x: x[:1, :1, :1].expand_as(x),
}


@every_layer
@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("lengths", [LENGTHS, None], ids=["padded", "full"])
def test_sequences_and_gradients_may_lie_in_memory_in_any_way(name, layout, lengths):
    layer = build(name, bidirectional=True)
    x = LAYOUTS[layout](sequences().detach()).requires_grad_()
    grad = LAYOUTS[layout](torch.randn(6, 9, layer.output_size))

    def results() -> list[Tensor]:
        output, _ = layer(x, lengths)
        return [output, *torch.autograd.grad(output, [x, *layer.parameters()], grad)]

    values = results()
    with disabled():
        torch.testing.assert_close(values, results(), rtol=1e-4, atol=1e-5)


@every_layer
@pytest.mark.usefixtures("compiled")
def test_a_second_backward_pass_gives_the_same_gradients(name):
    layer, x = build(name), sequences()
    output, _ = layer(x, LENGTHS)
    loss, tensors = (output * output).sum(), [x, *layer.parameters()]
    first = torch.autograd.grad(loss, tensors, retain_graph=True)
    for _ in range(2):
        again = torch.autograd.grad(loss, tensors, retain_graph=True)
        assert all(torch.equal(a, b) for a, b in zip(again, first, strict=True))


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_second_derivatives_equal_plain_pytorch(name, bidirectional):
    layer, x = build(name, bidirectional=bidirectional).double(), sequences(dtype=torch.float64)
    padding = torch.arange(x.size(1)) >= LENGTHS[:, None]
    x = x.detach().masked_fill(padding[..., None], float("nan")).requires_grad_()

    def penalty() -> list[Tensor]:
        output, _ = layer(x, LENGTHS)
        (grad,) = torch.autograd.grad((output + output * output).sum(), x, create_graph=True)
        return list(torch.autograd.grad(grad.square().sum(), [x, *layer.parameters()]))

    results = penalty()
    with disabled():
        torch.testing.assert_close(results, penalty())


@pytest.mark.usefixtures("compiled")
def test_second_derivatives_of_a_cell_without_any_are_refused():
    output, _ = build("PeepholeLSTM")(sequences(), LENGTHS)
    with pytest.raises(RuntimeError, match="peephole_lstm has no second derivative"):
        output.sum().backward(create_graph=True)


@pytest.mark.usefixtures("compiled")
def test_what_the_kernels_do_not_support_is_computed_by_pytorch():
    layer, x = build("GRU"), sequences().detach()
    weights = layer.weights(0)
    assert supports("gru", x, *weights)
    assert not supports("gru", x.bfloat16(), *weights)
    assert not supports("gru", x.double(), *weights)
    assert not supports("gru", x.to("meta"), *weights)
    assert not supports("gru", x[:0], *weights)
    assert not supports("unknown", x, *weights)
    with torch.autocast("cpu", torch.bfloat16):
        assert not supports("gru", x, *weights)
    with disabled():
        assert not supports("gru", x, *weights)
    grad = torch.func.grad(lambda v: layer(v)[0].sum())(x)
    (expected,) = torch.autograd.grad(layer(y := x.requires_grad_())[0].sum(), y)
    torch.testing.assert_close(grad, expected)


@pytest.mark.usefixtures("compiled")
def test_without_gradients_nothing_is_kept_for_them(monkeypatch):
    kept, start = [], recurrence.Run.start.__func__
    monkeypatch.setattr(
        recurrence.Run,
        "start",
        classmethod(lambda cls, *args: kept.append(run := start(cls, *args)) or run),
    )
    layer = build("LSTM")
    with torch.no_grad():
        layer(sequences(), LENGTHS)
    layer(sequences(), LENGTHS)
    assert [(run.keep, len(run.states)) for run in kept] == [(False, 1), (True, 2)]
