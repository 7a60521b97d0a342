"""The textbook's LSTM with layer normalization of its output."""

from typing import Any

import torch
from torch import Tensor, nn

from rnn_lab.nn.functional.state import State
from rnn_lab.nn.layers.lstm import LSTM


class LSTMWithLayerNorm(nn.Module):
    """An LSTM with layer norm on what it gives out, for stability.

    Source: Ba et al. (2016), https://arxiv.org/abs/1607.06450, put behind an LSTM of torch.

    Args:
        input_dim: Features of a step.
        hidden_dim: Units of each layer and direction.
        num_layers: Layers, each reading the output of the one below.
        dropout: Share of the features dropped between two layers, in training.
        bidirectional: Whether every layer reads backwards, too.
        locked: As of `LSTM`, like all that follow.
        weight_drop: See `LSTM`.
        zoneout: See `LSTM`.
        trainable_initial_state: See `LSTM`.
    """

    year, cost, parallel = 2016, "4H(D+H)", False

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        locked: bool = False,
        weight_drop: float = 0.0,
        zoneout: float = 0.0,
        trainable_initial_state: bool = False,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"locked": locked, "weight_drop": weight_drop}
        options |= {"zoneout": zoneout, "trainable_initial_state": trainable_initial_state}
        self.lstm = LSTM(input_dim, hidden_dim, num_layers, dropout, bidirectional, **options)
        self.layer_norm = nn.LayerNorm(self.lstm.output_size)
        self.input_size, self.hidden_size, self.num_layers = input_dim, hidden_dim, num_layers
        self.bidirectional, self.output_size = bidirectional, self.lstm.output_size

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, state: State = None
    ) -> tuple[Tensor, State]:
        """Read rows of any length, as `LSTM` does.

        Args:
            x: Rows padded on the right, `(batch, time, input_dim)`; padding is never read.
            lengths: Real steps of each row, `(batch,)` int64 on the CPU; None: all rows are full.
            state: What came before, a pair (h, c) of `(layers * directions, batch, hidden_dim)`.

        Returns:
            The normalized output, `(batch, time, output_size)`, zero on padding, and the LSTM's
            own state (hidden, cell) after the last real step of each row.
        """
        output, (hidden, cell) = self.lstm(x, lengths, state)
        output = self.layer_norm(output)
        if lengths is not None:
            padding = torch.arange(x.size(1)) >= lengths.unsqueeze(1)
            output = output.masked_fill(padding.unsqueeze(2).to(output.device), 0)
        return output, (hidden, cell)

    def step(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Read one step, `(batch, input_dim)`: its normalized output and the state after it."""
        output, state = self.lstm.step(x, state)
        return self.layer_norm(output), state
