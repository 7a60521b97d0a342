"""Zoneout in compiled kernels equals plain PyTorch: random masks, values and gradients."""

import pytest
import torch
from native_inputs import sequences
from torch import Tensor, nn

from rnn_lab.nn import LAYERS
from rnn_lab.nn.functional.state import LayerState, as_tuple, zoneout
from rnn_lab.nn.layers.peephole_lstm import PeepholeLSTMCell
from rnn_lab.nn.layers.unrolled import UnrolledLayer
from rnn_lab.nn.native.library import disabled
from rnn_lab.nn.native.zoneout import Zoneout

LENGTHS = torch.tensor([4, 9, 1, 7, 9, 2])
NAMES = ["RNN", "GRU", "LSTM", "PeepholeLSTM", "SLSTM", "LayerNormLSTM", "LayerNormGRU"]
EXACT = {torch.float32: (1e-4, 1e-4), torch.float64: (1e-8, 1e-10)}  # relative, absolute
every_layer = pytest.mark.parametrize("name", NAMES)
compiled = [pytest.mark.slow, pytest.mark.usefixtures("compiled")]


def build(name: str, inputs: int = 5, units: int = 6, **options) -> nn.Module:
    torch.manual_seed(0)
    layer = LAYERS[name](inputs, units, zoneout=0.3, **options)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -0.3, 0.4)
    return layer


def initial_state(layer: nn.Module, dtype: torch.dtype):
    size = (layer.num_layers * layer.directions, 6)
    parts = [torch.rand(*size, *s, dtype=dtype).requires_grad_() for s in layer.state_shapes()]
    return tuple(parts) if len(parts) > 1 else parts[0]


def run(layer: nn.Module, x: Tensor, lengths: Tensor | None = None, state=None) -> list[Tensor]:
    """Return output, final state, the next random number, and all gradients of a weighted sum."""
    torch.manual_seed(2)
    output, final = layer(x, lengths, state)
    drawn, values = torch.rand(1), [output, *as_tuple(final)]
    weights = [torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y) for y in values]
    total = sum((y * w).sum() for y, w in zip(values, weights, strict=True))
    tensors = [x, *layer.parameters(), *(as_tuple(state) if state is not None else ())]
    return [*values, drawn, *torch.autograd.grad(total, tensors)]


def assert_equal_to_plain(layer: nn.Module, x: Tensor, *arguments) -> None:
    results = run(layer, x, *arguments)
    with disabled():
        expected = run(layer, x, *arguments)
    for a, b in zip(results, expected, strict=True):
        # The rounding error of a sum is proportional to its largest terms.
        rounding = 32 * torch.finfo(x.dtype).eps * float(b.detach().abs().max())
        rtol, atol = EXACT[x.dtype]
        torch.testing.assert_close(a, b, rtol=rtol, atol=max(atol, rounding))


def test_masks_are_those_of_one_call_of_zoneout_for_each_step():
    state = torch.zeros(3, 4), torch.zeros(3, 4)
    torch.manual_seed(0)
    masks = Zoneout.draw(0.4, 5, state).masks
    torch.manual_seed(0)
    ones = tuple(torch.ones_like(part) for part in state)
    for step in range(5):
        for mask, new in zip(masks, zoneout(state, ones, 0.4, True), strict=True):
            assert torch.equal(mask[step], 1 - new)


class TestCompiled:
    """What needs a compiled library."""

    pytestmark = compiled

    @every_layer
    @pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    @pytest.mark.parametrize("lengths", [LENGTHS, None], ids=["padded", "full"])
    @pytest.mark.parametrize(("inputs", "units"), [(1, 1), (5, 6), (33, 37)], ids=str)
    def test_random_numbers_values_and_gradients_equal_plain_pytorch(
        self, name, training, dtype, lengths, inputs, units
    ):
        layer = build(name, inputs, units, num_layers=2, bidirectional=True, weight_drop=0.2)
        layer = layer.to(dtype).train(training)
        x, state = sequences(inputs, dtype), initial_state(layer, dtype)
        assert_equal_to_plain(layer, x, lengths, state)
        with torch.no_grad():  # states that only a gradient needs are not stored
            torch.manual_seed(2)
            output = layer(x, lengths, state)[0]
        assert torch.equal(output, run(layer, x, lengths, state)[0])

    @every_layer
    def test_the_kernel_is_used(self, name):
        layer = build(name)
        tensors = sequences().transpose(0, 1), *as_tuple(layer._initial_state(sequences()))
        assert layer._skips_padding(*tensors)
        assert layer.eval()._skips_padding(*tensors) == (name != "SLSTM")

    @every_layer
    @pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
    def test_gradients_equal_finite_differences(self, name, training):
        layer = build(name, 2, 3).double().train(training)
        x, lengths = sequences(2, torch.double)[:3, :4].detach(), torch.tensor([4, 1, 3])

        def function(x: Tensor) -> tuple[Tensor, ...]:
            torch.manual_seed(3)
            output, state = layer(x, lengths)
            return output, *as_tuple(state)

        torch.autograd.gradcheck(function, x.requires_grad_())

    @every_layer
    def test_results_are_the_same_bits_with_any_number_of_threads(self, name, monkeypatch):
        layer, x = build(name, 37, 50, bidirectional=True), sequences(37)
        monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
        expected = run(layer, x, LENGTHS)
        for threads in (2, 3, 16):
            monkeypatch.setattr(torch, "get_num_threads", lambda n=threads: n)
            results = run(layer, x, LENGTHS)
            assert all(torch.equal(a, b) for a, b in zip(results, expected, strict=True))

    @every_layer
    def test_a_second_backward_pass_gives_the_same_gradients(self, name):
        layer, x = build(name), sequences()
        loss = layer(x, LENGTHS)[0].square().sum()
        tensors = [x, *layer.parameters()]
        first = torch.autograd.grad(loss, tensors, retain_graph=True)
        again = torch.autograd.grad(loss, tensors)
        assert all(torch.equal(a, b) for a, b in zip(again, first, strict=True))

    @every_layer
    def test_second_derivatives_are_refused_as_in_plain_pytorch(self, name):
        layer, x = build(name), sequences()
        loss = layer(x, LENGTHS)[0].square().sum()
        with pytest.raises(RuntimeError, match=f"kernel .*{name[-3:].lower()}.* has no second"):
            torch.autograd.grad(loss, x, create_graph=True)

    def test_a_cell_with_a_zoneout_of_its_own_does_not_use_the_kernel(self):
        class Own(PeepholeLSTMCell):
            def zoneout(self, previous: LayerState, new: LayerState, p: float) -> LayerState:
                return previous

        layer = UnrolledLayer(Own(5, 6))
        tensors = sequences().detach().transpose(0, 1), torch.zeros(6, 6), torch.zeros(6, 6)
        assert layer.skips_padding(*tensors)
        layer.zoneout = 0.3
        assert not layer.skips_padding(*tensors)
        assert not layer(tensors[0], tensors[1:], None)[0].any()
