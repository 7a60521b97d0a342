"""Recurrent layers taken one step at a time, where each step's input hangs on the last output.

What is known before the loop is multiplied before it; gradients of the weights, which every step
uses, are taken once after it instead of being summed step by step.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from rnn_lab.nn.functional.gates import gru_gates, lstm_gates
from rnn_lab.nn.functional.linear import DeferredLinear, linear
from rnn_lab.nn.functional.state import LayerState
from rnn_lab.nn.layers.fused import FusedRNN


class Stepper:
    """Steps a recurrent layer over inputs of which the first features are known beforehand.

    Args:
        net: A layer that reads forwards, of any depth.
        known: The first features of every step's input, `(batch, steps, known_size)`.
    """

    def __init__(self, net: FusedRNN, known: Tensor) -> None:
        self.net = net
        self.once = known.size(1) == 1
        self.known = known.unbind(1) if self.once else self._multiplied(known)

    def _multiplied(self, known: Tensor) -> LayerState:
        """Multiply what is known by its weights; keep the other weights for the steps."""
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
        """Take a step.

        Args:
            t: Number of the step.
            new: The features of its input that were not known, `(batch, new_size)`.
            state: The state of each layer.

        Returns:
            The last layer's output, `(batch, hidden)`, and the states after it.
        """
        x, after = new, []
        for layer, part in enumerate(state):
            if layer:
                x = F.dropout(x, self.net.dropout, self.net.training)
            part = self._once(t, layer, x, part) if self.once else self._cell(t, layer, x, part)
            after.append(part)
            x = part[0]
        return x, after

    def _once(self, t: int, layer: int, x: Tensor, part: LayerState) -> LayerState:
        """Use torch's own cell where nothing can be prepared: there is one step only."""
        if layer == 0:
            x = torch.cat([self.known[t], x], 1)
        return self.net.cell_step(layer, x, part)

    def _cell(self, t: int, layer: int, x: Tensor, part: LayerState) -> LayerState:
        base = self.known[t] if layer == 0 else None
        h = part[0]
        if self.net.mode == "GRU":
            gates, again = self.inputs[layer](x, base), self.recurrent[layer](h, None)
            return (gru_gates(gates, again, h),)
        gates = self.inputs[layer](torch.cat([x, h], 1), base)
        if self.net.mode == "LSTM":
            return lstm_gates(gates, part[1])
        return (torch.tanh(gates),)
