"""The elementwise updates of LSTM and GRU against torch's cells and finite differences."""

import torch
from torch import Tensor, nn

from rnn_lab.nn.functional.gates import gru_gates, lstm_gates

BATCH, INPUT, HIDDEN = 3, 4, 5


def randn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()


def test_lstm_gates_equal_torchs_cell() -> None:
    cell = nn.LSTMCell(INPUT, HIDDEN).double()
    x, h, c = randn(BATCH, INPUT), randn(BATCH, HIDDEN, seed=1), randn(BATCH, HIDDEN, seed=2)
    gates = x @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh
    torch.testing.assert_close(lstm_gates(gates, c), cell(x, (h, c)))


def test_gru_gates_equal_torchs_cell() -> None:
    cell = nn.GRUCell(INPUT, HIDDEN).double()
    x, h = randn(BATCH, INPUT), randn(BATCH, HIDDEN, seed=1)
    x_gates, h_gates = x @ cell.weight_ih.T + cell.bias_ih, h @ cell.weight_hh.T + cell.bias_hh
    torch.testing.assert_close(gru_gates(x_gates, h_gates, h), cell(x, h))


def test_gradients_equal_finite_differences() -> None:
    c, h = randn(BATCH, HIDDEN, seed=1), randn(BATCH, HIDDEN, seed=2)
    assert torch.autograd.gradcheck(lstm_gates, (randn(BATCH, 4 * HIDDEN), c))
    gates = randn(BATCH, 3 * HIDDEN), randn(BATCH, 3 * HIDDEN, seed=3)
    assert torch.autograd.gradcheck(gru_gates, (*gates, h))
