"""Recurrent layers that apply a cell step by step."""

from typing import ClassVar

import torch
from torch import Tensor

from rnn_lab.nn.functional.padding import PaddingInfo
from rnn_lab.nn.functional.state import LayerState
from rnn_lab.nn.layers.cell import Cell
from rnn_lab.nn.layers.stack import StackedRNN, UnidirectionalLayer


class UnrolledLayer(UnidirectionalLayer):
    """A layer that applies a cell to each step in turn.

    Args:
        cell: The cell.

    Attributes:
        use_kernel: Whether to use the cell's kernel if it has one, with zoneout only a compiled
            one; otherwise the cell computes each step by `update`.
    """

    use_kernel = True

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell.input_size, cell.hidden_size)
        self.cell = cell
        names = (f"cell.{name}" for name in cell.weight_drop_params)
        self.weight_drop_params = tuple(names)  # type: ignore[misc]  # a class attribute elsewhere

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.hidden_size,),) * self.cell.num_states

    def forward(
        self, x: Tensor, state: LayerState, padding: PaddingInfo | None
    ) -> tuple[Tensor, LayerState]:
        if self.skips_padding(x, *state):
            if self.zoneout:
                return self.cell.native_zoneout_sequence(x, state, padding, self.zoneout)
            return self.cell.native_sequence(x, state, padding)
        use_kernel = self.use_kernel and not self.zoneout
        states = self.cell.forward_sequence(x, state) if use_kernel else None
        states = states or self._unroll(self.cell.project(x), state)
        final = tuple(padding.last_step(part) if padding else part[-1] for part in states)
        return states[0], final

    def skips_padding(self, x: Tensor, *state: Tensor) -> bool:
        may_run = self.use_kernel and (not self.zoneout or self.cell.has_native_zoneout())
        return may_run and self.cell.has_native(x, *state)

    def _unroll(self, projected: Tensor, state: LayerState) -> LayerState:
        """Compute the states after all steps, each `(time, batch, ...)`."""
        states = []
        for projected_t in projected.unbind(0):
            state = self._apply_zoneout(state, self.cell.update(projected_t, state))
            states.append(state)
        return tuple(torch.stack(part) for part in zip(*states, strict=True))

    def step(self, x: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        new = self._apply_zoneout(state, self.cell.update(self.cell.project(x), state))
        return new[0], new

    def _apply_zoneout(self, previous: LayerState, new: LayerState) -> LayerState:
        return self.cell.zoneout(previous, new, self.zoneout) if self.zoneout else new


class UnrolledRNN(StackedRNN):
    """Stacked layers of one cell class; takes the options of `StackedRNN` and of the cell."""

    layer_class = UnrolledLayer
    cell: ClassVar[type[Cell]]
    parallel = False

    def make_layer(self, index: int, input_size: int) -> UnidirectionalLayer:
        return UnrolledLayer(self.cell(input_size, self.hidden_size, **self.options))
