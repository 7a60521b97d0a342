"""Recurrent layers taken one step at a time, where each step's input hangs on the last output.

What is known before the loop is multiplied before it; gradients of the weights, which every step
uses, are taken once after it instead of being summed step by step.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from rnn_lab.nn.gates import gru_gates, lstm_gates
from rnn_lab.nn.products import linear, product
from rnn_lab.nn.recurrent import RecurrentLayer, State

Parts = list[tuple[Tensor, ...]]  # of each layer: h, or h and c, each `(batch, hidden)`


class Stepper:
    """Steps a recurrent layer over inputs of which the first features are known beforehand.

    Args:
        net: A layer that reads forwards, of any depth.
        known: The first features of every step's input, `(batch, steps, known_size)`.
    """

    def __init__(self, net: RecurrentLayer, known: Tensor) -> None:
        self.net = net
        self.once = known.size(1) == 1
        self.known = known.unbind(1) if self.once else self._multiplied(known)

    def _multiplied(self, known: Tensor) -> tuple[Tensor, ...]:
        """Multiply what is known by its weights; keep the other weights for the steps."""
        self.inputs: list[Weights] = []
        self.recurrent: list[Weights] = []
        products: tuple[Tensor, ...] = ()
        for layer in range(self.net.num_layers):
            w_ih, w_hh, b_ih, b_hh = self.net.weights(layer)
            if layer == 0:
                bias = b_ih if self.net.mode == "GRU" else b_ih + b_hh
                products = linear(known, w_ih[:, : known.size(2)], bias).unbind(1)
                w_ih, b_ih = w_ih[:, known.size(2) :], torch.zeros_like(b_ih)
            if self.net.mode == "GRU":
                self.inputs.append(Weights(w_ih, b_ih))
                self.recurrent.append(Weights(w_hh, b_hh))
            else:
                bias = b_ih if layer == 0 else b_ih + b_hh
                self.inputs.append(Weights(torch.cat([w_ih, w_hh], 1), bias))
        return products

    def step(self, t: int, new: Tensor, state: Parts) -> tuple[Tensor, Parts]:
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

    def _once(self, t: int, layer: int, x: Tensor, part: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Use torch's own cell where nothing can be prepared: there is one step only."""
        if layer == 0:
            x = torch.cat([self.known[t], x], 1)
        return self.net.cell_step(layer, x, part)

    def _cell(self, t: int, layer: int, x: Tensor, part: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        base = self.known[t] if layer == 0 else None
        h = part[0]
        if self.net.mode == "GRU":
            gates, again = self.inputs[layer](x, base), self.recurrent[layer](h, None)
            return (gru_gates(gates, again, h),)
        gates = self.inputs[layer](torch.cat([x, h], 1), base)
        if self.net.mode == "LSTM":
            return lstm_gates(gates, part[1])
        return (torch.tanh(gates),)


class Weights:
    """A linear map that a loop uses many times; its gradient is taken once, after the loop.

    Under autocast products are made in its type, and summed up in single precision.

    Args:
        weight: The matrix, `(output, input)`.
        bias: What is added where a step brings no base of its own, `(output,)`.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.bias = bias
        kind = weight.device.type
        rough = torch.is_autocast_enabled(kind)
        self.cast = weight.detach().to(torch.get_autocast_dtype(kind) if rough else weight.dtype)
        self.used: list[tuple[Tensor, Tensor]] = []
        self.token = _Gather.apply(weight, self.used)

    def __call__(self, x: Tensor, base: Tensor | None) -> Tensor:
        """Map `(batch, input)` to `(batch, output)` and add the base."""
        base = self.bias.expand(len(x), -1) if base is None else base
        return _Use.apply(base, x, self.token, self.cast, self.used)


class _Gather(Function):
    """The end of all uses of a matrix: knows nothing forwards, takes its gradient backwards."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, used: list[tuple[Tensor, Tensor]]) -> Tensor:
        ctx.used, ctx.dtype = used, weight.dtype
        return weight.new_zeros(())

    @staticmethod
    def backward(ctx: Any, token: Tensor) -> tuple[Tensor, None]:
        x, grad = (torch.cat(parts) for parts in zip(*ctx.used, strict=True))
        ctx.used.clear()
        return product(grad.t(), x.t()).to(ctx.dtype), None


class _Use(Function):
    """One use of a matrix: leaves what its gradient needs with the others."""

    @staticmethod
    def forward(
        ctx: Any, base: Tensor, x: Tensor, token: Tensor, weight: Tensor, used: list[Any]
    ) -> Tensor:
        ctx.used, ctx.dtypes = used, (base.dtype, x.dtype)
        x = x.to(weight.dtype)
        ctx.save_for_backward(x, weight)
        made = product(x, weight)
        return made.float().add_(base) if made.dtype.itemsize < 4 else made.add_(base)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        rough = grad.to(weight.dtype)
        ctx.used.append((x, rough))
        to_x = product(rough, weight.t()).to(ctx.dtypes[1])
        return grad.to(ctx.dtypes[0]), to_x, grad.new_zeros(()), None, None


def parts_of(state: State) -> Parts:
    """Take a state `(layers, batch, hidden)`, or a pair of them, apart by layers."""
    whole = state if isinstance(state, tuple) else (state,)
    return list(zip(*(part.unbind(0) for part in whole), strict=True))


def state_of(parts: Parts) -> State:
    """Put the states of all layers together again."""
    whole = tuple(torch.stack(part) for part in zip(*parts, strict=True))
    return whole if len(whole) > 1 else whole[0]
