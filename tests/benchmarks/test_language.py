"""Training of language models."""

import pytest

from rnn_lab.benchmarks.language import both_models

SIZES = {"embedding_dim": 4, "hidden_dim": 6, "num_layers": 2}


@pytest.mark.parametrize("layer", ["LSTM", "GRU"])
def test_the_weights_of_both_models_are_equal(layer):
    plain, ours = both_models(layer, SIZES)
    assert plain.recurrent.weight_hh_l1.equal(ours.layers[1].weight_hh_l0)
    assert plain.recurrent.bias_ih_l0.equal(ours.layers[0].bias_ih_l0)
    assert plain.head.weight.equal(ours.head.weight)
