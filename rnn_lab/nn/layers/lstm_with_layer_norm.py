"""The textbook's LSTM with layer normalization of its output."""

from typing import Any

from torch import Tensor, nn

from rnn_lab.nn.functional.padding import lengths_to_mask
from rnn_lab.nn.functional.state import State
from rnn_lab.nn.layers.lstm import LSTM


class LSTMWithLayerNorm(nn.Module):
    """LSTM followed by layer norm of its output, for more stable training.

    Source: Ba et al. (2016), https://arxiv.org/abs/1607.06450, applied after torch's LSTM.

    Args:
        input_dim: Number of input features.
        hidden_dim: Number of units per layer and direction.
        num_layers: Number of stacked recurrent layers.
        dropout: Dropout probability between layers.
        bidirectional: If True, use bidirectional layers.
        variational_dropout: See `LSTM`.
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
        variational_dropout: bool = False,
        weight_drop: float = 0.0,
        zoneout: float = 0.0,
        trainable_initial_state: bool = False,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {
            "variational_dropout": variational_dropout,
            "weight_drop": weight_drop,
            "zoneout": zoneout,
            "trainable_initial_state": trainable_initial_state,
        }
        self.lstm = LSTM(input_dim, hidden_dim, num_layers, dropout, bidirectional, **options)
        self.layer_norm = nn.LayerNorm(self.lstm.output_size)
        self.input_size, self.hidden_size, self.num_layers = input_dim, hidden_dim, num_layers
        self.bidirectional, self.output_size = bidirectional, self.lstm.output_size

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, state: State = None
    ) -> tuple[Tensor, State]:
        """Process sequences of different lengths, like `LSTM`.

        Args:
            x: Right-padded sequences, `(batch, time, input_dim)`; padding is never read.
            lengths: Number of real steps, `(batch,)` int64 on the CPU; None: no padding.
            state: Initial state, a pair (h, c) of `(layers * directions, batch, hidden_dim)`.

        Returns:
            The normalized output, `(batch, time, output_size)`, zero on padding, and the LSTM's
            state (h, c) after the last real step of each sequence.
        """
        output, (hidden, cell) = self.lstm(x, lengths, state)
        output = self.layer_norm(output)
        if lengths is not None:
            padding = ~lengths_to_mask(lengths, x.size(1), output.device)
            output = output.masked_fill(padding.unsqueeze(2), 0)
        return output, (hidden, cell)

    def step(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Compute one step, `(batch, input_dim)`: its normalized output and the new state."""
        output, state = self.lstm.step(x, state)
        return self.layer_norm(output), state
