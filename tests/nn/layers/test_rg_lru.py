"""RG-LRU against its equations."""

import pytest
import torch
from torch import Tensor

from rnn_lab.nn.layers.rg_lru import RGLRU

INPUT, HIDDEN, TIME, BATCH = 5, 4, 7, 3


def randn(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def reference(layer: RGLRU, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    core, output = layer.layers[0], []
    for x_t in x.unbind(1):
        r, i, *u = (x_t @ core.weight.T + core.bias).split(HIDDEN, -1)
        a = core.decay.sigmoid() ** (8 * r.sigmoid())
        h = a * h + (1 - a**2).sqrt() * i.sigmoid() * (u[0] if u else x_t)
        output.append(h)
    return torch.stack(output, 1), h


@pytest.mark.parametrize("width", [INPUT, HIDDEN])
def test_an_rg_lru_follows_its_equations(width: int) -> None:
    torch.manual_seed(0)
    layer, x = RGLRU(width, HIDDEN).double(), randn(BATCH, TIME, width)
    state = randn(1, BATCH, HIDDEN, seed=1)
    output, last = layer(x, state=state)
    expected, end = reference(layer, x, state[0])
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(last[0], end)


def test_units_of_an_rg_lru_are_initialized_with_decay_of_a_tenth_to_a_thousandth() -> None:
    torch.manual_seed(0)
    core = RGLRU(INPUT, 4000).layers[0]
    quarters = torch.quantile(core.decay.sigmoid() ** 8, torch.linspace(0, 1, 5))
    torch.testing.assert_close(quarters, torch.linspace(0.9, 0.999, 5), atol=0.004, rtol=0)


def test_gradients_stay_finite_without_decay() -> None:
    layer = RGLRU(HIDDEN, HIDDEN)
    with torch.no_grad():
        layer.layers[0].bias[:HIDDEN] = -200.0  # a closed recurrence gate
    x = randn(2, TIME, HIDDEN, dtype=torch.float32).requires_grad_()
    layer(x)[0].sum().backward()
    assert x.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())
