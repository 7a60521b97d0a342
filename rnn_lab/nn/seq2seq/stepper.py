"""Recurrent layers run step by step, where each step's input depends on the previous output.

The features known before the loop are multiplied by their weights before it. The gradients of the
weights are computed once after the loop instead of being accumulated step by step.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from rnn_lab.nn.functional.gates import gru_gates, lstm_gates
from rnn_lab.nn.functional.linear import DeferredLinear, linear
from rnn_lab.nn.functional.state import LayerState
from rnn_lab.nn.layers.fused import FusedRNN


class Stepper:
    """Run a recurrent layer step by step over inputs whose first features are known beforehand.

    Args:
        net: A unidirectional layer of any depth.
        known: The first features of every step's input, `(batch, steps, known_size)`.
    """

    def __init__(self, net: FusedRNN, known: Tensor) -> None:
        self.net = net
        self.single_step = known.size(1) == 1
        self.known = known.unbind(1) if self.single_step else self._project(known)

    def _project(self, known: Tensor) -> LayerState:
        """Multiply the known features by their weights; store the other weights for the steps."""
        self.inputs: list[DeferredLinear] = []
        self.recurrent: list[DeferredLinear] = []
        products: tuple[Tensor, ...] = ()
        for layer in range(self.net.num_layers):
            w_ih, w_hh, b_ih, b_hh = self.net.weights(layer)
            if layer == 0:
                bias = b_ih if self.net.mode == "GRU" else b_ih + b_hh
                products = linear(known, w_ih[:, : known.size(2)], bias).unbind(1)
                w_ih, b_ih = w_ih[:, known.size(2) :], torch.zeros_like(b_ih)
            if self.net.mode == "GRU":
                self.inputs.append(DeferredLinear(w_ih, b_ih))
                self.recurrent.append(DeferredLinear(w_hh, b_hh))
            else:
                bias = b_ih if layer == 0 else b_ih + b_hh
                self.inputs.append(DeferredLinear(torch.cat([w_ih, w_hh], 1), bias))
        return products

    def step(self, t: int, new: Tensor, state: list[LayerState]) -> tuple[Tensor, list[LayerState]]:
        """Run one step.

        Args:
            t: Index of the step.
            new: The other features of its input, `(batch, new_size)`.
            state: The state of each layer.

        Returns:
            The last layer's output, `(batch, hidden)`, and the new state of each layer.
        """
        x, after = new, []
        for layer, part in enumerate(state):
            if layer:
                x = F.dropout(x, self.net.dropout, self.net.training)
            cell = self._torch_cell if self.single_step else self._cell
            part = cell(t, layer, x, part)
            after.append(part)
            x = part[0]
        return x, after

    def _torch_cell(self, t: int, layer: int, x: Tensor, part: LayerState) -> LayerState:
        """Run torch's own cell: with a single step nothing can be computed in advance."""
        if layer == 0:
            x = torch.cat([self.known[t], x], 1)
        return self.net.cell_step(layer, x, part)

    def _cell(self, t: int, layer: int, x: Tensor, part: LayerState) -> LayerState:
        base = self.known[t] if layer == 0 else None
        h = part[0]
        if self.net.mode == "GRU":
            gates, recurrent = self.inputs[layer](x, base), self.recurrent[layer](h, None)
            return (gru_gates(gates, recurrent, h),)
        gates = self.inputs[layer](torch.cat([x, h], 1), base)
        if self.net.mode == "LSTM":
            return lstm_gates(gates, part[1])
        return (torch.tanh(gates),)
