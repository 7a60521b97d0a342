"""The simple recurrent network (Elman): cell, torch's fused layer, and the layer written out."""

import torch
from torch import Tensor, nn

from rnn_lab.nn.functional.state import Parts
from rnn_lab.nn.layers.cell import GatedCell
from rnn_lab.nn.layers.fused import RecurrentLayer
from rnn_lab.nn.layers.unrolled import Unrolled


class RNNCell(GatedCell):
    """The simple recurrent network: `h' = tanh(W x + R h + b)`.

    Source: Elman (1990), https://doi.org/10.1207/s15516709cog1402_1.
    """

    gates = 1

    def update(self, projected: Tensor, state: Parts) -> Parts:
        (h,) = state
        return (torch.tanh(projected + self.recur(h)),)


class RNN(RecurrentLayer, nn.RNN):  # type: ignore[misc]  # lengths stand where torch has hx
    """The simple recurrent network: `h = tanh(W x + R h + b)`.

    Source: Elman (1990), https://doi.org/10.1207/s15516709cog1402_1.
    """

    year, cost = 1990, "H(D+H)"
    kernel = torch.rnn_tanh
    cell = torch.rnn_tanh_cell

    def _step(self, x: Tensor, again: Tensor, *state: Tensor) -> Parts:
        return (torch.tanh(x + again),)


class SimpleRNN(Unrolled):
    """The simple recurrent network, written out: `RNN` without torch's fused kernel.

    Source: Elman (1990), https://doi.org/10.1207/s15516709cog1402_1.
    """

    cell, year, cost = RNNCell, 1990, "H(D+H)"
