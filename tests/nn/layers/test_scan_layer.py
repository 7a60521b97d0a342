"""minGRU and minLSTM against their equations, and laws of all gated scan layers."""

import pytest
import torch
from torch import Tensor

from rnn_lab.nn.layers.min_gru import MinGRU
from rnn_lab.nn.layers.min_lstm import MinLSTM
from rnn_lab.nn.layers.qrnn import QRNN

INPUT, HIDDEN, TIME, BATCH = 5, 4, 7, 3


def randn(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def g(x: Tensor) -> Tensor:
    return torch.where(x >= 0, x + 0.5, x.sigmoid())


def min_gru_reference(layer: MinGRU, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    (w_z, w_h), (b_z, b_h) = (layer.layers[0].weight.chunk(2), layer.layers[0].bias.chunk(2))
    output = []
    for x_t in x.unbind(1):
        z = (x_t @ w_z.T + b_z).sigmoid()
        h = (1 - z) * h + z * g(x_t @ w_h.T + b_h)
        output.append(h)
    return torch.stack(output, 1), h


def min_lstm_reference(layer: MinLSTM, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    w, b = layer.layers[0].weight.chunk(3), layer.layers[0].bias.chunk(3)
    output = []
    for x_t in x.unbind(1):
        f, i, u = (x_t @ w[n].T + b[n] for n in range(3))
        f, i = f.sigmoid(), i.sigmoid()
        h = f / (f + i) * h + i / (f + i) * g(u)
        output.append(h)
    return torch.stack(output, 1), h


@pytest.mark.parametrize(
    ("kind", "reference"), [(MinGRU, min_gru_reference), (MinLSTM, min_lstm_reference)]
)
def test_a_minimal_layer_follows_its_equations(kind: type, reference: object) -> None:
    torch.manual_seed(0)
    layer, h = kind(INPUT, HIDDEN).double(), randn(1, BATCH, HIDDEN, seed=1)
    x = 3 * randn(BATCH, TIME, INPUT)
    output, state = layer(x, state=h)
    expected, last = reference(layer, x, h[0])
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(state[0], last)


@pytest.mark.parametrize("kind", [QRNN, MinGRU, MinLSTM])
def test_zoneout_keeps_some_units_in_training_and_averages_in_evaluation(kind: type) -> None:
    torch.manual_seed(0)
    layer = kind(INPUT, 400, zoneout=0.3)
    x = randn(8, 1, INPUT, dtype=torch.float32)
    first, second = (layer(x)[1] for _ in range(2))
    before = (first[0] if kind is QRNN else first) == 0
    assert before.float().mean() == pytest.approx(0.3, abs=0.03)
    plain = kind(INPUT, 400)
    plain.load_state_dict(layer.state_dict())
    mean, full = (net.eval()(x)[1] for net in (layer, plain))
    if kind is QRNN:
        mean, full, second = mean[0], full[0], second[0]
    torch.testing.assert_close(mean, 0.7 * full)
    assert (second == 0).ne(before).any()  # a new mask for each call


@pytest.mark.parametrize("kind", [QRNN, MinGRU, MinLSTM])
def test_single_precision_is_accurate_over_long_sequences(kind: type) -> None:
    torch.manual_seed(0)
    layer, x = kind(INPUT, HIDDEN), randn(2, 4096, INPUT, dtype=torch.float32)
    output = layer(x)[0]
    exact = layer.double()(x.double())[0]
    assert (output - exact).abs().max() / exact.abs().max() < 1e-4
