"""LRU against its equations, its initialization, and zoneout of LRU and RG-LRU."""

import math

import pytest
import torch
from torch import Tensor

from rnn_lab.nn.layers.lru import LRU
from rnn_lab.nn.layers.rg_lru import RGLRU

INPUT, HIDDEN, TIME, BATCH = 5, 4, 7, 3


def randn(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def reference(layer: LRU, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    core, output = layer.layers[0], []
    eigenvalue = torch.exp(-core.log_decay.exp() + 1j * core.log_phase.exp())
    b = torch.complex(core.weight[0::2], core.weight[1::2])
    c = torch.complex(core.out[:, 0::2], -core.out[:, 1::2])
    d = core.skip.diag() if core.skip.dim() == 1 else core.skip
    for x_t in x.unbind(1):
        h = eigenvalue * h + core.log_scale.exp() * (x_t.to(b) @ b.T)
        output.append((h @ c.T).real + x_t @ d.T)
    y = torch.stack(output, 1)
    if core.glu is not None:
        value, gate = core.glu(torch.nn.functional.gelu(y)).chunk(2, -1)
        y = value * gate.sigmoid()
    return y, h


@pytest.mark.parametrize("width", [INPUT, HIDDEN])
@pytest.mark.parametrize("glu", [False, True])
def test_an_lru_follows_its_equations(width: int, glu: bool) -> None:
    torch.manual_seed(0)
    layer, x = LRU(width, HIDDEN, glu=glu).double(), randn(BATCH, TIME, width)
    state = randn(1, BATCH, HIDDEN, 2, seed=1)
    output, last = layer(x, state=state)
    expected, end = reference(layer, x, torch.view_as_complex(state[0]))
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(last[0], torch.view_as_real(end))


def test_an_lru_without_glu_is_linear() -> None:
    torch.manual_seed(0)
    layer, x, y = LRU(INPUT, HIDDEN, 2, glu=False).double(), *randn(2, BATCH, TIME, INPUT)
    torch.testing.assert_close(layer(2 * x + y)[0], 2 * layer(x)[0] + layer(y)[0])


def test_eigenvalues_of_an_lru_are_initialized_uniformly_on_their_ring() -> None:
    torch.manual_seed(0)
    core = LRU(INPUT, 4000, r_min=0.5, r_max=0.9, max_phase=math.pi / 4).layers[0]
    eigenvalues = torch.view_as_complex(core.eigenvalues())
    squared, phase = eigenvalues.abs() ** 2, eigenvalues.angle()
    for values, low, high in ((squared, 0.25, 0.81), (phase, 0.0, math.pi / 4)):
        quarters = torch.quantile((values - low) / (high - low), torch.linspace(0, 1, 5))
        torch.testing.assert_close(quarters, torch.linspace(0, 1, 5), atol=0.03, rtol=0)
    torch.testing.assert_close(core.log_scale.exp(), (1 - squared).sqrt())


def test_the_state_of_an_lru_has_the_variance_of_its_input() -> None:
    torch.manual_seed(0)
    layer, x = LRU(64, 256, r_min=0.5, r_max=0.9), randn(4, 300, 64, dtype=torch.float32)
    assert layer(x)[1].square().sum(-1).mean().item() == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"r_min": 0.9, "r_max": 0.5}, "0 <= r_min < r_max <= 1 must hold, got 0.9 and 0.5"),
        ({"r_max": 1.5}, "got 0.0 and 1.5"),
        ({"max_phase": 0.0}, "max_phase must be above 0, got 0.0"),
    ],
)
def test_invalid_rings_of_an_lru_are_errors(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LRU(INPUT, HIDDEN, **options)


@pytest.mark.parametrize("kind", [LRU, RGLRU])
def test_zoneout_keeps_some_units_in_training_and_averages_in_evaluation(kind: type) -> None:
    torch.manual_seed(0)
    layer, plain = kind(INPUT, 400, zoneout=0.3), kind(INPUT, 400)
    plain.load_state_dict(layer.state_dict())
    x, before = (
        randn(8, 1, INPUT, dtype=torch.float32),
        torch.ones(plain(randn(8, 1, INPUT).float())[1].shape),
    )
    first, second = (layer(x, state=before)[1] == before for _ in range(2))
    assert first.float().mean() == pytest.approx(0.3, abs=0.03)
    assert first.ne(second).any()  # a new mask for each call
    mean, full = (net.eval()(x, state=before)[1] for net in (layer, plain))
    torch.testing.assert_close(mean, 0.7 * full + 0.3 * before)


@pytest.mark.parametrize("kind", [LRU, RGLRU])
def test_single_precision_is_accurate_over_long_sequences(kind: type) -> None:
    torch.manual_seed(0)
    layer, x = kind(INPUT, HIDDEN), randn(2, 4096, INPUT, dtype=torch.float32)
    output = layer(x)[0]
    exact = layer.double()(x.double())[0]
    assert (output - exact).abs().max() / exact.abs().max() < 1e-4
