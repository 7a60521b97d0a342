"""A recurrent layer of any cell, stepped through time."""

from typing import ClassVar

import torch
from torch import Tensor

from rnn_lab.nn.functional.padding import Rows
from rnn_lab.nn.functional.state import Parts
from rnn_lab.nn.layers.cell import Cell
from rnn_lab.nn.layers.stack import Core, StackedRNN


class UnrolledCore(Core):
    """A cell that reads steps one after the other.

    Args:
        cell: What takes a step.

    Attributes:
        fast: Whether to use the cell's kernel, if it has one and no unit is zoned out; else the
            cell takes each step itself.
    """

    fast = True

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell.input_size, cell.hidden_size)
        self.cell = cell
        self.droppable = tuple(f"cell.{name}" for name in cell.droppable)  # type: ignore[misc]

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.hidden_size,),) * self.cell.kept

    def forward(self, x: Tensor, state: Parts, rows: Rows | None) -> tuple[Tensor, Parts]:
        fast = self.fast and not self.zoneout
        states = self.cell.walk(x, state) if fast else None
        states = states or self._walk(self.cell.project(x), state)
        last = tuple(rows.last(part) if rows else part[-1] for part in states)
        return states[0], last

    def _walk(self, projected: Tensor, state: Parts) -> Parts:
        """Take each step: the states after all of them, each part `(time, batch, ...)`."""
        states = []
        for step in projected.unbind(0):
            state = self._zoned(state, self.cell.update(step, state))
            states.append(state)
        return tuple(torch.stack(part) for part in zip(*states, strict=True))

    def step(self, x: Tensor, state: Parts) -> tuple[Tensor, Parts]:
        after = self._zoned(state, self.cell.update(self.cell.project(x), state))
        return after[0], after

    def _zoned(self, before: Parts, after: Parts) -> Parts:
        return self.cell.zoneout(before, after, self.zoneout) if self.zoneout else after


class Unrolled(StackedRNN):
    """Layers of one kind of cell; their options are those of `StackedRNN` and of the cell."""

    core = UnrolledCore
    cell: ClassVar[type[Cell]]
    parallel = False

    def make(self, layer: int, input_size: int) -> Core:
        return UnrolledCore(self.cell(input_size, self.hidden_size, **self.options))
