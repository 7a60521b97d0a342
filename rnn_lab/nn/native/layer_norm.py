"""Recurrence of cells that normalize the projected input and the projected state."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from rnn_lab.nn.native.library import Batch, Layer
from rnn_lab.nn.native.recurrence import Recurrence, Run, address


@dataclass
class NormRun(Run):
    """A run of a cell that normalizes its projections; other weights are the gains of both norms.

    Attributes:
        gates: Projected inputs, then their gradients, `(steps, gates * hidden_size)`; empty if no
            gradient is needed.
        extra: Projected states, then their gradients, shaped like `gates`.
    """

    @staticmethod
    def memory(
        recurrence: Recurrence, steps: int, weights: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        rows = len(weights[1])
        return weights[1].new_empty(steps, rows), weights[1].new_empty(steps, rows)

    @cached_property
    def bias(self) -> None:
        """Nothing is added to the projected input."""

    @cached_property
    def parameters(self) -> Tensor:
        _, _, b_ih, b_hh, gain_ih, gain_hh, *others = self.weights
        return torch.cat([gain_ih, b_ih, gain_hh, b_hh, *others])

    @cached_property
    def of_parameters(self) -> Tensor:
        """Memory for the gradient of `parameters`."""
        return torch.empty_like(self.parameters)

    def layer(self, **tensors: Sequence[Tensor | None]) -> Layer:
        layer = super().layer(**tensors)
        layer.grad_parameters = address(self.of_parameters)
        return layer

    def weight_gradients(self, batch: Batch, layer: Layer) -> list[Tensor]:
        w_ih, w_hh, b_ih, b_hh, gain_ih, gain_hh, *others = self.weights
        of_w_ih, of_w_hh = torch.empty_like(w_ih), torch.empty_like(w_hh)
        results = (of_w_ih, of_w_hh), (None, None)
        self.call_weight_gradients(batch, layer, self.gates, self.extra, *results)
        sizes = [len(part) for part in (gain_ih, b_ih, gain_hh, b_hh, *others)]
        parts = self.of_parameters.split(sizes)
        return [of_w_ih, of_w_hh, parts[1], parts[3], parts[0], parts[2], *parts[4:]]
