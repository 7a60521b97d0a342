"""Laws of the recommended initialization of torch's layers."""

import math

import pytest
import torch

from rnn_lab.nn import LSTM, initialize
from rnn_lab.nn.seq2seq.decoders import DECODER_LAYERS

every_layer = pytest.mark.parametrize("name", DECODER_LAYERS)


def initialized(name: str) -> torch.nn.RNNBase:
    torch.manual_seed(0)
    layer = DECODER_LAYERS[name](5, 6, num_layers=2, bidirectional=True)
    initialize(layer)
    return layer


@every_layer
def test_recurrent_weights_are_orthogonal_for_each_gate(name: str) -> None:
    for key, weight in initialized(name).named_parameters():
        if key.startswith("weight_hh"):
            for gate in weight.split(6):
                torch.testing.assert_close(gate @ gate.T, torch.eye(6))


@every_layer
def test_input_weights_are_within_the_glorot_bound_of_a_gate(name: str) -> None:
    for key, weight in initialized(name).named_parameters():
        if key.startswith("weight_ih"):
            bound = math.sqrt(6 / (weight.size(1) + 6))
            assert 0.8 * bound < weight.abs().max() <= bound


@every_layer
def test_biases_are_zero_except_for_the_forget_gate_of_an_lstm(name: str) -> None:
    layer = initialized(name)
    for suffix in ("l0", "l0_reverse", "l1", "l1_reverse"):
        bias = getattr(layer, f"bias_ih_{suffix}") + getattr(layer, f"bias_hh_{suffix}")
        expected = torch.zeros(len(bias))
        expected[6:12] = float(isinstance(layer, LSTM))
        assert torch.equal(bias, expected)


@every_layer
def test_all_parameters_still_require_gradients(name: str) -> None:
    assert all(parameter.requires_grad for parameter in initialized(name).parameters())
