"""Variances of an SRU at initialization."""

import pytest
import torch

from rnn_lab.nn import layers


def test_an_sru_is_initialized_with_the_variance_of_its_paper() -> None:
    torch.manual_seed(0)
    cell = layers.SRUCell(300, 400, highway_bias=-2.0)
    candidate, f, r, highway = cell.weight_ih.detach().chunk(4)
    for matrix, variance in ((candidate, 1), (f, 0.5), (r, 0.5), (highway, 1)):
        assert matrix.var() * 300 == pytest.approx(variance, rel=0.05)
    assert cell.weight_ch.detach().var() == pytest.approx(0.5, rel=0.1)
    assert not cell.bias_ih[:400].any()
    assert (cell.bias_ih[400:] == -2).all()


def test_the_highway_of_an_sru_preserves_the_variance_of_its_input() -> None:
    torch.manual_seed(0)
    cell = layers.SRUCell(400, 400)
    h, _ = cell(torch.randn(200, 400))
    assert h.detach().var() == pytest.approx(1, rel=0.25)
