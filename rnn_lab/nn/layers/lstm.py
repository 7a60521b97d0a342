"""Long short-term memory: cell and torch's fused layer."""

import torch
from torch import Tensor, nn

from rnn_lab.nn.functional.gates import lstm_gates
from rnn_lab.nn.functional.padding import Rows
from rnn_lab.nn.functional.state import Parts
from rnn_lab.nn.layers.cell import GatedCell
from rnn_lab.nn.layers.fused import RecurrentLayer


class LSTMCell(GatedCell):
    """Long short-term memory: `c' = f c + i g` and `h' = o tanh(c')`; its state is (h, c).

    Source: Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735; Gers et
    al. (2000), https://doi.org/10.1162/089976600300015015, for the forget gate.
    """

    gates, kept = 4, 2

    def reset_parameters(self) -> None:
        """Start as others do, but half open towards remembering."""
        super().reset_parameters()
        self.bias_ih.detach().chunk(4)[1].add_(1)

    def update(self, projected: Tensor, state: Parts) -> Parts:
        h, c = state
        i, f, g, o = (projected + self.recur(h)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class LSTM(RecurrentLayer, nn.LSTM):  # type: ignore[misc]  # lengths stand where torch has hx
    """Long short-term memory: a cell state behind an input, a forget and an output gate.

    Source: Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735; Gers et
    al. (2000), https://doi.org/10.1162/089976600300015015, for the forget gate.
    """

    year, cost, state_parts = 1997, "4H(D+H)", 2
    cell = torch.lstm_cell

    def _step(self, x: Tensor, again: Tensor, *state: Tensor) -> Parts:
        return lstm_gates(x + again, state[1])

    def _read(
        self, x: Tensor, rows: Rows | None, state: Parts, weights: list[Tensor]
    ) -> tuple[Tensor, Parts]:
        before = tuple(part.unsqueeze(0) for part in state)
        if rows is None:
            output, *after = torch.lstm(
                x, before, weights, True, 1, 0.0, self.training, False, False
            )
            return output, tuple(part.squeeze(0) for part in after)
        # The kernel gives c after the last step only. One more feature, one on padding, shuts the
        # input gate and opens the forget gate there, so that c stays what it was, to the last bit.
        hold = x.new_tensor([-1e4, 1e4, 0, 0]).repeat_interleave(self.hidden_size).unsqueeze(1)
        x = torch.cat([x, rows.padding.to(x)], dim=-1)
        weights = [torch.cat([weights[0], hold], dim=1), *weights[1:]]
        output, _, c = torch.lstm(x, before, weights, True, 1, 0.0, self.training, False, False)
        return output, (rows.last(output), c.squeeze(0))
