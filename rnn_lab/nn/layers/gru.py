"""Gated recurrent unit (GRU): cell and fused layer."""

import torch
from torch import Tensor, nn

from rnn_lab.nn.functional.gates import gru_gates
from rnn_lab.nn.functional.state import LayerState
from rnn_lab.nn.layers.cell import GatedCell
from rnn_lab.nn.layers.fused import FusedRNN


class GRUCell(GatedCell):
    """Gated recurrent unit: `n = tanh(W x + r R h)` and `h' = (1 - z) n + z h`.

    Source: Cho et al. (2014), https://arxiv.org/abs/1406.1078.
    """

    num_gates = 3

    def update(self, projected: Tensor, state: LayerState) -> LayerState:
        (h,) = state
        x_r, x_z, x_n = projected.chunk(3, -1)
        h_r, h_z, h_n = self.project_state(h).chunk(3, -1)
        r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
        n = torch.tanh(x_n + r * h_n)
        return ((1 - z) * n + z * h,)


class GRU(FusedRNN, nn.GRU):  # type: ignore[misc]  # lengths replace torch's hx
    """Gated recurrent unit (GRU) with a reset gate and an update gate.

    Source: Cho et al. (2014), https://arxiv.org/abs/1406.1078.
    """

    year, cost = 2014, "3H(D+H)"
    sequence_kernel = torch.gru
    step_kernel = torch.gru_cell
    native_kernel = "gru"

    def _update(self, x_gates: Tensor, h_gates: Tensor, *state: Tensor) -> LayerState:
        return (gru_gates(x_gates, h_gates, state[0]),)
