"""What recurrent layers share that are not torch's own: depth, directions, lengths, dropout.

A `UnidirectionalLayer` is one layer in one direction; a `StackedRNN` stacks them.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnn_lab.nn.dropout import VariationalDropout
from rnn_lab.nn.functional.padding import PaddingInfo, check_lengths
from rnn_lab.nn.functional.state import (
    LayerState,
    State,
    as_tuple,
    from_tuple,
    stack_state,
    unstack_state,
)


class UnidirectionalLayer(nn.Module, ABC):
    """One layer that reads in one direction.

    Args:
        input_size: Features of a step.
        hidden_size: Features of a step of its output.

    Attributes:
        weight_drop_params: The parameters that weight drop works on.
        zoneout: Probability of a unit of the state to stay as it was.
    """

    weight_drop_params: ClassVar[tuple[str, ...]] = ()
    zoneout: float = 0.0

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the parts of the state of one row."""
        return ((self.hidden_size,),)

    @abstractmethod
    def forward(
        self, x: Tensor, state: LayerState, padding: PaddingInfo | None
    ) -> tuple[Tensor, LayerState]:
        """Read all steps.

        Args:
            x: Rows, `(time, batch, input_size)`, padding last.
            state: What came before, parts of shape `(batch, ...)`.
            padding: Where the real steps are; None: all rows are full.

        Returns:
            The output, `(time, batch, hidden_size)`, anything finite on padding, and the state
            after each row's last real step.
        """

    @abstractmethod
    def step(self, x: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        """Read one step, `(batch, input_size)`: its output and the state after it."""


class StackedRNN(nn.Module):
    """Recurrent layers of one kind on top of each other, which read rows by their lengths.

    Args:
        input_size: Features of a step.
        hidden_size: Units of each layer and direction.
        num_layers: Layers, each reading the output of the one below.
        dropout: Share of the features dropped between two layers, in training.
        bidirectional: Whether every layer reads backwards, too.
        variational_dropout: Whether that dropout is the same at all steps of a row.
        weight_drop: Share of the recurrent weights dropped in training, of a layer that has none
            of its input weights; drawn once for each call of `forward`.
        zoneout: Probability of a unit of the state to stay as it was, in training; in evaluation
            it moves by the mean.
        trainable_initial_state: Whether the first state is learned; else it is zero.
        options: What the kind of layer takes beside these.

    Attributes:
        year: When the layer was published.
        cost: Multiply-adds of a step, of D inputs and H units.
        parallel: Whether all steps can be taken at once, the state being linear in itself.
    """

    layer_class: ClassVar[type[UnidirectionalLayer]]
    year: ClassVar[int]
    cost: ClassVar[str]
    parallel: ClassVar[bool]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        variational_dropout: bool = False,
        weight_drop: float = 0.0,
        zoneout: float = 0.0,
        trainable_initial_state: bool = False,
        **options: Any,
    ) -> None:
        super().__init__()
        check_probabilities(dropout=dropout, weight_drop=weight_drop, zoneout=zoneout)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bidirectional, self.weight_drop, self.options = bidirectional, weight_drop, options
        self.directions = 2 if bidirectional else 1
        sizes = [input_size, *[self.output_size] * (num_layers - 1)]
        places = [(layer, size) for layer, size in enumerate(sizes) for _ in range(self.directions)]
        self.layers: list[UnidirectionalLayer] = nn.ModuleList(
            self.make_layer(*place) for place in places
        )  # type: ignore[assignment]
        for core in self.layers:
            core.zoneout = zoneout
        self.between = (
            VariationalDropout(dropout, time_dim=0) if variational_dropout else nn.Dropout(dropout)
        )
        shapes = self.layers[0].state_shapes() if trainable_initial_state else ()
        self.initial_state: list[Tensor] = nn.ParameterList(  # type: ignore[assignment]
            torch.zeros(len(self.layers), 1, *shape) for shape in shapes
        )

    def make_layer(self, index: int, input_size: int) -> UnidirectionalLayer:
        """Build one direction of one layer."""
        return self.layer_class(input_size, self.hidden_size, **self.options)

    @property
    def output_size(self) -> int:
        """Features of a step of the output."""
        return self.hidden_size * self.directions

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, state: State = None
    ) -> tuple[Tensor, State]:
        """Read rows of any length.

        Args:
            x: Rows padded on the right, `(batch, time, input_size)`; padding is never read.
            lengths: Real steps of each row, `(batch,)` int64 on the CPU; None: all rows are full.
            state: What came before: a tensor or a tuple of them, each
                `(layers * directions, batch, ...)`; None: the first state.

        Returns:
            The last layer's output, `(batch, time, output_size)`, zero on padding, and the state
            after the last real step of each row, shaped like `state`.

        Raises:
            TypeError: If the lengths are not whole numbers on the CPU.
            ValueError: If there is not one length a row, each from 1 to `time`, or the state has
                another shape.
        """
        padding = None
        if lengths is not None:
            check_lengths(lengths, *x.shape[:2])
            if int(lengths.min()) < x.size(1):
                padding = PaddingInfo(lengths, x.size(1), x.device)
        before = unstack_state(
            self._checked(state, len(x)) if state is not None else self._first(x)
        )
        after: list[LayerState] = []
        x = x.transpose(0, 1).contiguous()
        x = padding.zero_padding(x) if padding else x
        for layer in range(self.num_layers):
            x = self.between(x) if layer else x
            outputs = []
            for direction in range(self.directions):
                y = self._turned(x, padding) if direction else x
                y, final = self._read(self.layers[len(after)], y, before[len(after)], padding)
                outputs.append(self._turned(y, padding) if direction else y)
                after.append(final)
            x = torch.cat(outputs, -1) if len(outputs) > 1 else outputs[0]
        x = padding.zero_padding(x) if padding else x
        return x.transpose(0, 1), stack_state(after)

    def step(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Read one step; no weight is dropped.

        Args:
            x: One step of every row, `(batch, input_size)`.
            state: What came before, as in `forward`.

        Returns:
            The output, `(batch, output_size)`, and the state after it.

        Raises:
            ValueError: If the layer is bidirectional, or the state has another shape.
        """
        if self.bidirectional:
            raise ValueError("a bidirectional layer cannot step: it needs the whole row")
        before = unstack_state(
            self._checked(state, len(x)) if state is not None else self._first(x)
        )
        after: list[LayerState] = []
        for layer, core in enumerate(self.layers):
            x = self.between(x.unsqueeze(0)).squeeze(0) if layer else x
            x, final = core.step(x, before[layer])
            after.append(final)
        return x, stack_state(after)

    def _read(
        self, core: UnidirectionalLayer, x: Tensor, state: LayerState, padding: PaddingInfo | None
    ) -> tuple[Tensor, LayerState]:
        if not (self.training and self.weight_drop):
            return core(x, state, padding)
        dropped = {
            n: F.dropout(core.get_parameter(n), self.weight_drop) for n in core.weight_drop_params
        }
        return torch.func.functional_call(core, dropped, (x, state, padding))

    def _turned(self, x: Tensor, padding: PaddingInfo | None) -> Tensor:
        return padding.reverse(x) if padding else x.flip(0)

    def _first(self, x: Tensor) -> State:
        """The state before any step."""
        if len(self.initial_state):
            return from_tuple(
                part.expand(-1, len(x), *part.shape[2:]) for part in self.initial_state
            )
        wide = x.new_zeros((), dtype=torch.promote_types(x.dtype, torch.float32))
        shapes = self.layers[0].state_shapes()
        return from_tuple(wide.new_zeros(len(self.layers), len(x), *shape) for shape in shapes)

    def _checked(self, state: State, batch: int) -> State:
        shapes = [(len(self.layers), batch, *shape) for shape in self.layers[0].state_shapes()]
        found = [tuple(part.shape) for part in as_tuple(state)]
        if found != shapes:
            raise ValueError(f"the state must have the shapes {shapes}, got {found}")
        return state


def check_probabilities(**shares: float) -> None:
    """Refuse shares that are none.

    Raises:
        ValueError: If one is not at least 0 and below 1.
    """
    for name, share in shares.items():
        if not 0 <= share < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, got {share}")
