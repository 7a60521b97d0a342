"""Cells stepped through time: a recurrent layer of any cell of `cells.py`.

To add one: write the cell in `cells.py`, declare its layer here, name that in `LAYERS` of
`layers.py`, and export it in `__init__.py`.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rnn_lab.nn.cells import (
    Cell,
    IndRNNCell,
    LayerNormGRUCell,
    LayerNormLSTMCell,
    PeepholeLSTMCell,
    RNNCell,
    SLSTMCell,
    SRUCell,
)
from rnn_lab.nn.recurrent import LSTM
from rnn_lab.nn.rows import Rows
from rnn_lab.nn.stack import Core, LayerStack
from rnn_lab.nn.state import Parts, State


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


class Unrolled(LayerStack):
    """Layers of one kind of cell; their options are those of `LayerStack` and of the cell."""

    core = UnrolledCore
    cell: ClassVar[type[Cell]]
    parallel = False

    def make(self, layer: int, input_size: int) -> Core:
        return UnrolledCore(self.cell(input_size, self.hidden_size, **self.options))


class SimpleRNN(Unrolled):
    """The simple recurrent network, written out: `RNN` without torch's fused kernel.

    Source: Elman (1990), https://doi.org/10.1207/s15516709cog1402_1.
    """

    cell, year, cost = RNNCell, 1990, "H(D+H)"


class LayerNormLSTM(Unrolled):
    """An LSTM with layer norm inside its gates, on the shares of input and state.

    Of an input of one feature the norm leaves little more than the sign: give it several.

    Source: Ba et al. (2016), https://arxiv.org/abs/1607.06450.
    """

    cell, year, cost = LayerNormLSTMCell, 2016, "4H(D+H)"


class LayerNormGRU(Unrolled):
    """A GRU with layer norm inside its gates, on the shares of input and state.

    Of an input of one feature the norm leaves little more than the sign: give it several.

    Source: Ba et al. (2016), https://arxiv.org/abs/1607.06450.
    """

    cell, year, cost = LayerNormGRUCell, 2016, "3H(D+H)"


class PeepholeLSTM(Unrolled):
    """An LSTM whose gates look at the cell state itself, which helps it to count and to time.

    Source: Gers & Schmidhuber (2000), https://doi.org/10.1109/IJCNN.2000.861302.
    """

    cell, year, cost = PeepholeLSTMCell, 2000, "4H(D+H) + 3H"


class IndRNN(Unrolled):
    """Units that do not see each other within a layer: one recurrent weight each, very long memory.

    Where there are several layers, the last starts with long memories only.

    Source: Li et al. (2018), https://arxiv.org/abs/1803.04831.
    """

    cell, year, cost = IndRNNCell, 2018, "DH + H"

    def make(self, layer: int, input_size: int) -> Core:
        cell = IndRNNCell(input_size, self.hidden_size, **self.options)
        if 0 < layer == self.num_layers - 1:
            cell.remember()
        return UnrolledCore(cell)


class SRU(Unrolled):
    """Gates of the input alone but for one weight a unit: almost all of it is one product.

    Source: Lei et al. (2018), https://arxiv.org/abs/1709.02755.
    """

    cell, year, cost = SRUCell, 2018, "3DH + 6H"


class SLSTM(Unrolled):
    """An LSTM that can revise what it stored: exponential gates, a normaliser, heads.

    Source: Beck et al. (2024), https://arxiv.org/abs/2405.04517.
    """

    cell, year, cost = SLSTMCell, 2024, "4H(D+H/heads)"

    def make(self, layer: int, input_size: int) -> Core:
        options = {"depth": layer / max(self.num_layers - 1, 1)} | self.options
        return UnrolledCore(SLSTMCell(input_size, self.hidden_size, **options))


class LSTMWithLayerNorm(nn.Module):
    """An LSTM with layer norm on what it gives out, for stability.

    Source: Ba et al. (2016), https://arxiv.org/abs/1607.06450, put behind an LSTM of torch.

    Args:
        input_dim: Features of a step.
        hidden_dim: Units of each layer and direction.
        num_layers: Layers, each reading the output of the one below.
        dropout: Share of the features dropped between two layers, in training.
        bidirectional: Whether every layer reads backwards, too.
        locked: As of `LSTM`, like all that follow.
        weight_drop: See `LSTM`.
        zoneout: See `LSTM`.
        learned_state: See `LSTM`.
    """

    year, cost, parallel = 2016, "4H(D+H)", False

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        locked: bool = False,
        weight_drop: float = 0.0,
        zoneout: float = 0.0,
        learned_state: bool = False,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"locked": locked, "weight_drop": weight_drop}
        options |= {"zoneout": zoneout, "learned_state": learned_state}
        self.lstm = LSTM(input_dim, hidden_dim, num_layers, dropout, bidirectional, **options)
        self.layer_norm = nn.LayerNorm(self.lstm.output_size)
        self.input_size, self.hidden_size, self.num_layers = input_dim, hidden_dim, num_layers
        self.bidirectional, self.output_size = bidirectional, self.lstm.output_size

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, state: State = None
    ) -> tuple[Tensor, State]:
        """Read rows of any length, as `LSTM` does.

        Args:
            x: Rows padded on the right, `(batch, time, input_dim)`; padding is never read.
            lengths: Real steps of each row, `(batch,)` int64 on the CPU; None: all rows are full.
            state: What came before, a pair (h, c) of `(layers * directions, batch, hidden_dim)`.

        Returns:
            The normalised output, `(batch, time, output_size)`, zero on padding, and the LSTM's
            own state (hidden, cell) after the last real step of each row.
        """
        output, (hidden, cell) = self.lstm(x, lengths, state)
        output = self.layer_norm(output)
        if lengths is not None:
            padding = torch.arange(x.size(1)) >= lengths.unsqueeze(1)
            output = output.masked_fill(padding.unsqueeze(2).to(output.device), 0)
        return output, (hidden, cell)

    def step(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Read one step, `(batch, input_dim)`: its normalised output and the state after it."""
        output, state = self.lstm.step(x, state)
        return self.layer_norm(output), state
