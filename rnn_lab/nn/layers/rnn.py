"""Simple recurrent network (Elman): cell, fused layer and unrolled layer."""

import torch
from torch import Tensor, nn

from rnn_lab.nn.functional.state import LayerState
from rnn_lab.nn.layers.cell import GatedCell
from rnn_lab.nn.layers.fused import FusedRNN
from rnn_lab.nn.layers.unrolled import UnrolledRNN


class RNNCell(GatedCell):
    """Simple recurrent network: `h' = tanh(W x + R h + b)`.

    Source: Elman (1990), https://doi.org/10.1207/s15516709cog1402_1.
    """

    num_gates = 1

    def update(self, projected: Tensor, state: LayerState) -> LayerState:
        (h,) = state
        return (torch.tanh(projected + self.project_state(h)),)


class RNN(FusedRNN, nn.RNN):  # type: ignore[misc]  # lengths replace torch's hx
    """Simple recurrent network (Elman): `h = tanh(W x + R h + b)`.

    Source: Elman (1990), https://doi.org/10.1207/s15516709cog1402_1.
    """

    year, cost = 1990, "H(D+H)"
    sequence_kernel = torch.rnn_tanh
    step_kernel = torch.rnn_tanh_cell
    native_kernel = "rnn"

    def _update(self, x_gates: Tensor, h_gates: Tensor, *state: Tensor) -> LayerState:
        return (torch.tanh(x_gates + h_gates),)


class SimpleRNN(UnrolledRNN):
    """Simple recurrent network (Elman) in plain PyTorch, without torch's fused kernel.

    Source: Elman (1990), https://doi.org/10.1207/s15516709cog1402_1.
    """

    cell, year, cost = RNNCell, 1990, "H(D+H)"
