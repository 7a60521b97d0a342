"""The training loop of the textbook."""

import pytest
import torch
from torch import nn

from rnn_lab import Forecaster, LSTMForecaster, train_forecaster


def batches(count=4):
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        x = torch.randn(8, 12, 3, generator=generator)
        yield x, x[:, -1, :1]


def test_the_loss_decreases_in_the_textbooks_usage():
    torch.manual_seed(0)
    model = LSTMForecaster(input_dim=3, hidden_dim=16, num_layers=2, output_dim=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = [train_forecaster(model, batches(), nn.MSELoss(), optimizer, "cpu") for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]


def test_the_loss_is_the_mean_over_batches():
    model = Forecaster(input_dim=3, hidden_dim=4)
    without_dropout = torch.optim.SGD(model.parameters(), lr=0.0)
    result = train_forecaster(model, batches(), nn.MSELoss(), without_dropout, "cpu")
    expected = [nn.functional.mse_loss(model(x), y).item() for x, y in batches()]
    assert result == pytest.approx(sum(expected) / len(expected))


def test_an_empty_loader_is_refused():
    model = LSTMForecaster(input_dim=3, hidden_dim=4)
    with pytest.raises(ValueError, match="train_loader is empty"):
        train_forecaster(model, [], nn.MSELoss(), torch.optim.SGD(model.parameters()), "cpu")
