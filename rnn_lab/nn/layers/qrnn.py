"""Quasi-recurrent network (QRNN): gates computed by a convolution over the input."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from rnn_lab.nn.functional.activations import activate
from rnn_lab.nn.functional.linear import linear
from rnn_lab.nn.functional.once_differentiable import once_differentiable
from rnn_lab.nn.functional.padding import PaddingInfo
from rnn_lab.nn.functional.precision import at_least_float32
from rnn_lab.nn.functional.scan import lerp_scan
from rnn_lab.nn.functional.state import LayerState
from rnn_lab.nn.layers.scan_layer import ScanLayer
from rnn_lab.nn.layers.stack import StackedRNN
from rnn_lab.nn.native.scan import Scan


class QRNNLayer(ScanLayer):
    """One layer and direction of a `QRNN`.

    Args:
        input_size: Number of input features.
        hidden_size: Number of units.
        window: Width of the convolution in steps, 1 or 2.
    """

    weight_drop_params, native_kernel = ("weight",), "qrnn"

    def __init__(self, input_size: int, hidden_size: int, *, window: int = 2) -> None:
        super().__init__(input_size, hidden_size)
        if window not in (1, 2):
            raise ValueError(f"window must be 1 or 2, got {window}")
        self.window = window
        self.weight = nn.Parameter(torch.empty(3 * hidden_size, window * input_size))
        self.bias = nn.Parameter(torch.empty(3 * hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize the weights of each gate Glorot uniform, biases zero."""
        for gate in self.weight.split(self.hidden_size):
            nn.init.xavier_uniform_(gate)
        nn.init.zeros_(self.bias)

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of the cell state and, for window 2, of the last projected input.

        The projection is stored instead of the input because it has the same size in all layers.
        """
        cell = (self.hidden_size,)
        return (cell,) if self.window == 1 else (cell, (3 * self.hidden_size,))

    def forward(
        self, x: Tensor, state: LayerState, padding: PaddingInfo | None
    ) -> tuple[Tensor, LayerState]:
        """Process all steps, see `UnidirectionalLayer`."""
        carry = None if self.window == 1 else state[1]
        output, final = self._pool(x, state[0], carry, padding)
        if self.window == 1:
            return output, (final,)
        last_input = padding.last_step(x) if padding else x[-1]
        return output, (final, self._project_previous(last_input))

    def _pool(
        self, x: Tensor, state: Tensor, carry: Tensor | None, padding: PaddingInfo | None
    ) -> tuple[Tensor, Tensor]:
        """Compute output and final cell state from the input."""
        if self.skips_padding(x, state, *(() if carry is None else (carry,))):
            scan = Scan(self.native_kernel, padding, has_output=True, windows=self.window == 2)
            return scan(x, state, self.weight, self.bias, first_step=carry)
        windows = x if self.window == 1 else _Windows.apply(x)
        projected = at_least_float32(linear(windows, self.weight, self.bias))
        candidate, decay, out = activate(projected, ("tanh", "sigmoid", "sigmoid"), carry)
        decay, state_in = self.apply_zoneout(decay), state.to(candidate)
        c, final = lerp_scan(decay, candidate, state_in, padding)
        return out * c, final

    def _project_previous(self, x: Tensor) -> Tensor:
        """Compute what an input adds to the pre-activations of the next step."""
        return at_least_float32(linear(x, self.weight[:, : self.input_size]))


class QRNN(StackedRNN):
    """Quasi-recurrent network: convolution and pooling, `c = f c + (1 - f) z`, `h = o c`.

    The input is convolved over `window` steps, with zeros before the first step, and pooled by
    forget and output gates (fo-pooling).

    Source: Bradbury et al. (2017), https://arxiv.org/abs/1611.01576, section 2.
    """

    layer_class = QRNNLayer
    year, cost, parallel = 2017, "6HD", True


class _Windows(Function):
    """Concatenate each input with the previous one, which is zero at the first step."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        size = x.size(-1)
        windows = x.new_empty(*x.shape[:-1], 2 * size)
        windows[0, :, :size], windows[1:, :, :size], windows[..., size:] = 0, x[:-1], x
        return windows

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        grad_previous, grad_current = grad.chunk(2, -1)
        grad_x = grad_current.clone(memory_format=torch.contiguous_format)
        grad_x[:-1] += grad_previous[1:]
        return grad_x
