"""Laws of the recommended starting weights, which are those of torch's own layers."""

import math

import pytest
import torch

from rnn_lab.nn import LSTM, initialize
from rnn_lab.nn.seq2seq.decoders import DECODER_LAYERS

every_layer = pytest.mark.parametrize("name", DECODER_LAYERS)


def fresh(name: str) -> torch.nn.RNNBase:
    torch.manual_seed(0)
    layer = DECODER_LAYERS[name](5, 6, num_layers=2, bidirectional=True)
    initialize(layer)
    return layer


@every_layer
def test_recurrent_weights_are_orthogonal_gate_by_gate(name: str) -> None:
    for key, weight in fresh(name).named_parameters():
        if key.startswith("weight_hh"):
            for gate in weight.split(6):
                torch.testing.assert_close(gate @ gate.T, torch.eye(6))


@every_layer
def test_input_weights_stay_within_glorots_bound_of_a_gate(name: str) -> None:
    for key, weight in fresh(name).named_parameters():
        if key.startswith("weight_ih"):
            bound = math.sqrt(6 / (weight.size(1) + 6))
            assert 0.8 * bound < weight.abs().max() <= bound


@every_layer
def test_biases_are_zero_but_for_the_forget_gate_of_an_lstm(name: str) -> None:
    layer = fresh(name)
    for suffix in ("l0", "l0_reverse", "l1", "l1_reverse"):
        bias = getattr(layer, f"bias_ih_{suffix}") + getattr(layer, f"bias_hh_{suffix}")
        expected = torch.zeros(len(bias))
        expected[6:12] = float(isinstance(layer, LSTM))
        assert torch.equal(bias, expected)


@every_layer
def test_every_parameter_keeps_its_gradient_switch(name: str) -> None:
    assert all(parameter.requires_grad for parameter in fresh(name).parameters())
