"""Initialization of minLSTM."""

from rnn_lab.nn.layers.min_lstm import MinLSTM

INPUT, HIDDEN, TIME, BATCH = 5, 4, 7, 3


def test_forget_gates_of_a_min_lstm_are_initialized_open() -> None:
    core = MinLSTM(INPUT, HIDDEN, forget_bias=2.0).layers[0]
    assert core.bias[:HIDDEN].tolist() == [2.0] * HIDDEN
    assert core.bias[HIDDEN:].abs().max() <= INPUT**-0.5
