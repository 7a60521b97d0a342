"""Initialization and clipping of the recurrent weights of an IndRNN."""

import torch

from rnn_lab.nn import layers


def test_an_indrnn_is_initialized_for_all_memory_lengths_or_for_long_memory() -> None:
    torch.manual_seed(0)
    cell = layers.IndRNNCell(8, 2000, max_seq_len=10)
    assert 0 <= cell.weight_hh.min() < 0.01
    assert 0.99 < cell.weight_hh.max() <= 1
    cell.init_long_memory()
    assert cell.weight_hh.min() >= 2 ** (-1 / 10)
    assert cell.weight_hh.max() <= 2 ** (1 / 10)


def test_recurrent_weights_of_an_indrnn_are_clipped() -> None:
    cell = layers.IndRNNCell(2, 3, max_seq_len=5)
    cell.weight_hh.data = torch.tensor([3.0, -3.0, 0.5])
    h = cell(torch.zeros(1, 2), torch.ones(1, 3))
    torch.testing.assert_close(h, torch.tensor([[2 ** (1 / 5), 0.0, 0.5]]))
    torch.testing.assert_close(cell.weight_hh.data, torch.tensor([2**0.2, -(2**0.2), 0.5]))


def test_an_indrnn_supports_two_forward_passes_before_one_backward_pass() -> None:
    cell, x = layers.IndRNNCell(2, 3, max_seq_len=5), torch.ones(1, 2)
    (cell(x, torch.ones(1, 3)) + cell(2 * x, torch.ones(1, 3))).sum().backward()
    assert cell.weight_hh.grad.any()


def test_only_the_last_layer_of_an_indrnn_is_initialized_for_long_memory() -> None:
    torch.manual_seed(0)

    def smallest_weights(layer: layers.IndRNN) -> list[float]:
        return [core.cell.weight_hh.min().item() for core in layer.layers]

    *others, last = smallest_weights(layers.IndRNN(2, 100, 3))
    assert last >= 0.99
    assert max(others) < 0.2
    assert smallest_weights(layers.IndRNN(2, 100))[0] < 0.2
