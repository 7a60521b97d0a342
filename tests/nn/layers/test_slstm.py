"""Initialization, heads, range and zoneout of an sLSTM."""

import pytest
import torch
from torch import Tensor, nn

from rnn_lab.nn import layers

INPUT, HIDDEN = 5, 6


def randn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("heads", [1, 3])
def test_an_slstm_is_initialized_without_recurrence_and_with_all_memory_lengths(heads: int) -> None:
    for depth in (0.0, 1.0):
        cell = layers.SLSTMCell(INPUT, 12, heads=heads, depth=depth)
        assert not cell.weight_hh.any()
        i, f, z, o = cell.bias_ih.unflatten(0, (4, heads, -1))
        torch.testing.assert_close(f, f[:1].expand_as(f))
        assert f[0, 0] == 5
        assert f[0, -1] == -7
        assert (f.diff() < 0).all()
        assert not torch.stack([i, z, o]).any()
    assert not torch.equal(cell.bias_ih, layers.SLSTMCell(INPUT, 12, heads=heads).bias_ih)


def test_heads_of_an_slstm_are_independent() -> None:
    torch.manual_seed(0)
    cell = layers.SLSTMCell(INPUT, HIDDEN, heads=3).double()
    nn.init.normal_(cell.weight_hh)
    h = randn(1, HIDDEN).requires_grad_()
    gates = cell.project_state(h).view(4, HIDDEN)
    for unit in range(HIDDEN):
        (grad,) = torch.autograd.grad(gates[:, unit].sum(), h, retain_graph=True)
        assert grad[0].nonzero().flatten().tolist() == [unit // 2 * 2, unit // 2 * 2 + 1]


def test_an_slstm_stays_finite_where_exponentials_overflow() -> None:
    cell = layers.SLSTMCell(1, HIDDEN)
    cell.weight_ih.data = torch.zeros_like(cell.weight_ih)
    cell.weight_ih.data[:HIDDEN] = 300  # of the input gate
    state: object = None
    for x in (-1.0, 2.0, 0.0, -3.0, 1.0):
        state = cell(torch.full((2, 1), x), state)
        assert all(part.isfinite().all() for part in state)


@pytest.mark.parametrize("training", [True, False])
def test_zoneout_of_an_slstm_treats_c_n_and_their_scale_together(training: bool) -> None:
    """The unscaled values c exp(m) and n exp(m) are log_f together, or averaged."""
    cell = layers.SLSTMCell(INPUT, HIDDEN).double().train(training)
    before = tuple(randn(50, HIDDEN, seed=seed).abs() for seed in range(4))
    after = tuple(randn(50, HIDDEN, seed=seed).abs() for seed in range(4, 8))
    torch.manual_seed(0)
    _, c, n, m = cell.zoneout(before, after, 0.3)
    old, new = ((s[1] * s[3].exp(), s[2] * s[3].exp()) for s in (before, after))
    actual = torch.stack([c, n]) * m.exp()
    if training:
        keep = m == before[3]
        assert 0.2 < keep.double().mean() < 0.4
        expected = torch.where(keep, torch.stack(old), torch.stack(new))
    else:
        expected = 0.3 * torch.stack(old) + 0.7 * torch.stack(new)
    torch.testing.assert_close(actual, expected)


def test_layers_of_an_slstm_get_their_relative_depth() -> None:
    layer = layers.SLSTM(5, HIDDEN, 3, bidirectional=True)
    assert [core.cell.depth for core in layer.layers] == [0, 0, 0.5, 0.5, 1, 1]
    assert layers.SLSTM(5, HIDDEN).layers[0].cell.depth == 0
