"""Gradients of cells with layer normalization."""

import pytest
import torch

from rnn_lab.nn import build_layer


@pytest.mark.parametrize("norm", ["all", "gate"])
@pytest.mark.parametrize("name", ["LayerNormLSTM", "LayerNormGRU"])
def test_zero_inputs_do_not_make_the_gradient_of_a_norm_explode(name, norm):
    torch.manual_seed(1)
    layer = build_layer(name, 16, 32, options={"norm": norm})
    x = torch.randn(4, 20, 16)
    x[:, :15] = 0
    layer(x)[0].square().mean().backward()
    assert max(float(p.grad.abs().max()) for p in layer.parameters()) < 5
