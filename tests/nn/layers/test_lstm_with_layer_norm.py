"""The textbook's LSTM with layer norm against torch's LSTM and layer norm."""

import pytest
import torch
from torch import Tensor, nn

from rnn_lab.nn.layers.lstm_with_layer_norm import LSTMWithLayerNorm

HIDDEN, BATCH, TIME = 6, 4, 9


def randn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_an_lstm_with_layer_norm_equals_torchs_lstm_and_layer_norm(bidirectional: bool) -> None:
    torch.manual_seed(0)
    layer = LSTMWithLayerNorm(5, HIDDEN, 2, bidirectional=bidirectional)
    lstm = nn.LSTM(5, HIDDEN, 2, batch_first=True, bidirectional=bidirectional)
    norm = nn.LayerNorm(layer.output_size)
    for parameter in layer.layer_norm.parameters():
        parameter.data += torch.randn_like(parameter)
    lstm.load_state_dict(layer.lstm.state_dict())
    norm.load_state_dict(layer.layer_norm.state_dict())
    x = randn(BATCH, TIME, 5).float()
    expected, (h, c) = lstm(x)
    output, (hidden, cell) = layer(x)
    torch.testing.assert_close((output, hidden, cell), (norm(expected), h, c))


def test_an_lstm_with_layer_norm_loads_weights_of_two_torch_modules() -> None:
    lstm, norm = nn.LSTM(5, HIDDEN, 2, batch_first=True), nn.LayerNorm(HIDDEN)
    layer, x = LSTMWithLayerNorm(5, HIDDEN, 2), randn(BATCH, TIME, 5).float()
    saved = {f"lstm.{key}": value for key, value in lstm.state_dict().items()}
    saved |= {f"layer_norm.{key}": value for key, value in norm.state_dict().items()}
    layer.load_state_dict(saved)
    torch.testing.assert_close(layer(x)[0], norm(lstm(x)[0]))
