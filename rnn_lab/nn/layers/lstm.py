"""Long short-term memory (LSTM): cell and fused layer."""

import torch
from torch import Tensor, nn

from rnn_lab.nn.functional.gates import lstm_gates
from rnn_lab.nn.functional.padding import PaddingInfo
from rnn_lab.nn.functional.state import LayerState
from rnn_lab.nn.layers.cell import GatedCell
from rnn_lab.nn.layers.fused import FusedRNN


class LSTMCell(GatedCell):
    """Long short-term memory: `c' = f c + i g` and `h' = o tanh(c')`; its state is (h, c).

    Source: Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735; Gers et
    al. (2000), https://doi.org/10.1162/089976600300015015, for the forget gate.
    """

    num_gates, num_states = 4, 2

    def reset_parameters(self) -> None:
        """Initialize like `GatedCell` and add one to the biases of the forget gate."""
        super().reset_parameters()
        self.bias_ih.detach().chunk(4)[1].add_(1)

    def update(self, projected: Tensor, state: LayerState) -> LayerState:
        h, c = state
        i, f, g, o = (projected + self.project_state(h)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class LSTM(FusedRNN, nn.LSTM):  # type: ignore[misc]  # lengths replace torch's hx
    """Long short-term memory (LSTM) with input, forget and output gates.

    Source: Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735; Gers et
    al. (2000), https://doi.org/10.1162/089976600300015015, for the forget gate.
    """

    year, cost, num_states = 1997, "4H(D+H)", 2
    step_kernel = torch.lstm_cell
    native_kernel = "lstm"

    def _update(self, x_gates: Tensor, h_gates: Tensor, *state: Tensor) -> LayerState:
        return lstm_gates(x_gates + h_gates, state[1])

    def _run_kernel(
        self, x: Tensor, padding: PaddingInfo | None, state: LayerState, weights: list[Tensor]
    ) -> tuple[Tensor, LayerState]:
        hx = tuple(part.unsqueeze(0) for part in state)
        if padding is None:
            output, *last = torch.lstm(x, hx, weights, True, 1, 0.0, self.training, False, False)
            return output, tuple(part.squeeze(0) for part in last)
        # The kernel returns c after the last step only. An additional feature, one on padding,
        # closes the input gate and opens the forget gate there, so that c stays bit-identical.
        keep_c = x.new_zeros(4 * self.hidden_size, 1)
        for gate, value in zip(keep_c.chunk(4), (-1e4, 1e4), strict=False):
            gate.fill_(value)
        x = torch.cat([x, padding.padding_mask.to(x)], dim=-1)
        weights = [torch.cat([weights[0], keep_c], dim=1), *weights[1:]]
        output, _, c = torch.lstm(x, hx, weights, True, 1, 0.0, self.training, False, False)
        return output, (padding.last_step(output), c.squeeze(0))
