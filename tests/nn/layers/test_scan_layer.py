"""QRNN, minGRU and minLSTM against their equations, written out step by step."""

import pytest
import torch
from torch import Tensor

from rnn_lab.nn.layers.min_gru import MinGRU
from rnn_lab.nn.layers.min_lstm import MinLSTM
from rnn_lab.nn.layers.qrnn import QRNN

INPUT, HIDDEN, TIME, BATCH = 5, 4, 7, 3


def draw(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def g(x: Tensor) -> Tensor:
    return torch.where(x >= 0, x + 0.5, x.sigmoid())


def read_min_gru(layer: MinGRU, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    (w_z, w_h), (b_z, b_h) = (layer.layers[0].weight.chunk(2), layer.layers[0].bias.chunk(2))
    output = []
    for x_t in x.unbind(1):
        z = (x_t @ w_z.T + b_z).sigmoid()
        h = (1 - z) * h + z * g(x_t @ w_h.T + b_h)
        output.append(h)
    return torch.stack(output, 1), h


def read_min_lstm(layer: MinLSTM, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    w, b = layer.layers[0].weight.chunk(3), layer.layers[0].bias.chunk(3)
    output = []
    for x_t in x.unbind(1):
        f, i, u = (x_t @ w[n].T + b[n] for n in range(3))
        f, i = f.sigmoid(), i.sigmoid()
        h = f / (f + i) * h + i / (f + i) * g(u)
        output.append(h)
    return torch.stack(output, 1), h


@pytest.mark.parametrize(("kind", "read"), [(MinGRU, read_min_gru), (MinLSTM, read_min_lstm)])
def test_a_minimal_layer_is_its_equations(kind: type, read: object) -> None:
    torch.manual_seed(0)
    layer, h = kind(INPUT, HIDDEN).double(), draw(1, BATCH, HIDDEN, seed=1)
    x = 3 * draw(BATCH, TIME, INPUT)
    output, state = layer(x, state=h)
    expected, last = read(layer, x, h[0])
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(state[0], last)


@pytest.mark.parametrize("kind", [QRNN, MinGRU, MinLSTM])
def test_zoneout_keeps_a_share_of_the_units_and_moves_the_mean_in_evaluation(kind: type) -> None:
    torch.manual_seed(0)
    layer = kind(INPUT, 400, zoneout=0.3)
    x = draw(8, 1, INPUT, dtype=torch.float32)
    kept, moved = (layer(x)[1] for _ in range(2))
    before = (kept[0] if kind is QRNN else kept) == 0
    assert before.float().mean() == pytest.approx(0.3, abs=0.03)
    plain = kind(INPUT, 400)
    plain.load_state_dict(layer.state_dict())
    mean, full = (net.eval()(x)[1] for net in (layer, plain))
    if kind is QRNN:
        mean, full, moved = mean[0], full[0], moved[0]
    torch.testing.assert_close(mean, 0.7 * full)
    assert (moved == 0).ne(before).any()  # drawn anew


@pytest.mark.parametrize("kind", [QRNN, MinGRU, MinLSTM])
def test_single_precision_is_exact_over_long_rows(kind: type) -> None:
    torch.manual_seed(0)
    layer, x = kind(INPUT, HIDDEN), draw(2, 4096, INPUT, dtype=torch.float32)
    output = layer(x)[0]
    exact = layer.double()(x.double())[0]
    assert (output - exact).abs().max() / exact.abs().max() < 1e-4
