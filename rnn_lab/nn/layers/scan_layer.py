"""Base classes of layers with a linear recurrence, which process a sequence by one scan."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from rnn_lab.nn.functional.linear import linear
from rnn_lab.nn.functional.padding import PaddingInfo
from rnn_lab.nn.functional.precision import at_least_float32
from rnn_lab.nn.functional.scan import lerp_scan
from rnn_lab.nn.functional.state import LayerState
from rnn_lab.nn.layers.stack import UnidirectionalLayer
from rnn_lab.nn.native.recurrence import supports
from rnn_lab.nn.native.scan import Scan


class ScanLayer(UnidirectionalLayer):
    """A layer whose recurrence is linear in its state; a step is a sequence of length one.

    Attributes:
        native_kernel: Name of the compiled kernel, see `rnn_lab.nn.native`; empty if there is none.
    """

    native_kernel: str = ""

    def skips_padding(self, x: Tensor, *state: Tensor) -> bool:
        """Return whether `forward` runs on a compiled kernel, see `UnidirectionalLayer`."""
        may_run = bool(self.native_kernel) and not self.zoneout
        return may_run and supports(self.native_kernel, x, *state, *self.parameters())

    def step(self, x: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        """Compute one step, see `UnidirectionalLayer`."""
        output, state = self(x.unsqueeze(0), state, None)
        return output.squeeze(0), state

    def update_rate(self, like: Tensor) -> Tensor | float:
        """Return how much zoneout lets units update: 0 or 1 in training, the mean otherwise."""
        if not self.training:
            return 1 - self.zoneout
        return (torch.rand_like(like) >= self.zoneout).to(like)

    def apply_zoneout(self, decay: Tensor) -> Tensor:
        """Apply zoneout to the decay factors of units; a factor of 1 keeps the previous state."""
        return 1 - self.update_rate(decay) * (1 - decay) if self.zoneout else decay


class GatedScanLayer(ScanLayer):
    """A layer that interpolates between state and candidate: `h' = a h + (1 - a) x`.

    Attributes:
        num_projections: Number of projections of the input.
    """

    weight_drop_params = ("weight",)
    num_projections: ClassVar[int]

    def build(self) -> None:
        """Create weight and bias of the projections."""
        size = self.num_projections * self.hidden_size
        self.weight = nn.Parameter(torch.empty(size, self.input_size))
        self.bias = nn.Parameter(torch.empty(size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize weights and biases like `torch.nn.Linear`."""
        bound = self.input_size**-0.5
        for parameter in (self.weight, self.bias):
            nn.init.uniform_(parameter, -bound, bound)

    @abstractmethod
    def gates(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Compute decay factors and candidates from the projected input."""

    def forward(
        self, x: Tensor, state: LayerState, padding: PaddingInfo | None
    ) -> tuple[Tensor, LayerState]:
        """Process all steps, see `UnidirectionalLayer`."""
        if self.skips_padding(x, *state):
            output, final = Scan(self.native_kernel, padding)(x, state[0], self.weight, self.bias)
            return output, (final,)
        decay, candidate = self.gates(at_least_float32(linear(x, self.weight, self.bias)))
        decay, state_in = self.apply_zoneout(decay), state[0].to(candidate)
        output, final = lerp_scan(decay, candidate, state_in, padding)
        return output, (final,)
