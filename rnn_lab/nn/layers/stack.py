"""Stacked recurrent layers: depth, directions, sequence lengths, dropout, zoneout, single steps.

A `UnidirectionalLayer` is one layer in one direction. `StackedRNN` stacks such layers; its subclass
`FusedRNN` does the same with the parameters and kernels of torch's own layers.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnn_lab.nn.dropout import variational_dropout
from rnn_lab.nn.functional.padding import PaddingInfo, check_lengths
from rnn_lab.nn.functional.precision import autocast_to
from rnn_lab.nn.functional.state import (
    LayerState,
    State,
    as_tuple,
    from_tuple,
    map_state,
    stack_state,
    unstack_state,
)


class UnidirectionalLayer(nn.Module, ABC):
    """One recurrent layer in one direction.

    Args:
        input_size: Number of input features.
        hidden_size: Number of output features.

    Attributes:
        weight_drop_params: Names of the parameters that weight drop applies to: the recurrent
            weights, or the input weights of layers without recurrent weights.
        zoneout: Probability of keeping a unit's previous state.
    """

    weight_drop_params: ClassVar[tuple[str, ...]] = ()
    zoneout: float = 0.0

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.build()

    def build(self) -> None:
        """Create the parameters that depend on the sizes alone."""

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of the state tensors of one sequence."""
        return ((self.hidden_size,),)

    @abstractmethod
    def forward(
        self, x: Tensor, state: LayerState, padding: PaddingInfo | None
    ) -> tuple[Tensor, LayerState]:
        """Process all steps.

        Args:
            x: Right-padded sequences, `(time, batch, input_size)`.
            state: Initial state, each tensor `(batch, ...)`.
            padding: Real steps of the sequences; None: no padding.

        Returns:
            The output, `(time, batch, hidden_size)`, with arbitrary finite values on padding, and
            the state after the last real step of each sequence.
        """

    def skips_padding(self, x: Tensor, *state: Tensor) -> bool:
        """Return whether `forward` runs on a compiled kernel for an input and a state like these.

        Then padding of the input is never read, its steps may be in any order in memory, and the
        output is zero on padding.
        """
        return False

    @abstractmethod
    def step(self, x: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        """Process one step, `(batch, input_size)`: its output and the new state."""


class StackedRNN(nn.Module):
    """Stacked recurrent layers of one kind that process padded sequences by their lengths.

    Args:
        input_size: Number of input features.
        hidden_size: Number of units per layer and direction.
        num_layers: Number of stacked recurrent layers.
        dropout: Dropout probability between layers.
        bidirectional: If True, use bidirectional layers.
        variational_dropout: Whether that dropout uses the same mask at all steps of a sequence.
        weight_drop: Dropout probability of the recurrent weights, or of the input weights of layers
            without recurrent weights; the mask is drawn once per call of `forward`.
        zoneout: Probability of keeping a unit's previous state in training; in evaluation the
            expected state is used.
        trainable_initial_state: Whether the initial state is a parameter; otherwise it is zero.
        options: Further options of the layer class.

    Attributes:
        layer_class: Class of each layer and direction.
        year: Year of publication.
        cost: Multiply-adds of a step with D inputs and H units.
        parallel: Whether all steps can be computed in parallel, by a recurrence linear in its
            state.
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
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, got {num_layers}")
        check_probabilities(dropout=dropout, weight_drop=weight_drop, zoneout=zoneout)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.dropout, self.bidirectional, self.options = dropout, bidirectional, options
        self.variational_dropout = variational_dropout
        self.weight_drop, self.zoneout = weight_drop, zoneout
        self.directions = 2 if bidirectional else 1
        self._create_layers()
        self.initial_state: nn.ParameterList | None = None
        if trainable_initial_state:
            self.initial_state = nn.ParameterList(
                torch.zeros(num_layers * self.directions, 1, *shape)
                for shape in self.state_shapes()
            )

    def _create_layers(self) -> None:
        """Initialize the module and create all layers and directions."""
        super().__init__()
        sizes = [self.input_size, *[self.output_size] * (self.num_layers - 1)]
        layers = [
            self.make_layer(index, size)
            for index, size in enumerate(sizes)
            for _ in range(self.directions)
        ]
        for layer in layers:
            layer.zoneout = self.zoneout
            if self.weight_drop:
                _check_parameters(layer)
        self.layers: Any = nn.ModuleList(layers)

    def make_layer(self, index: int, input_size: int) -> UnidirectionalLayer:
        """Create one direction of a layer."""
        return self.layer_class(input_size, self.hidden_size, **self.options)

    @property
    def output_size(self) -> int:
        """Number of output features."""
        return self.hidden_size * self.directions

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of the state tensors of one sequence, layer and direction."""
        return self.layers[0].state_shapes()

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, state: State = None
    ) -> tuple[Tensor, State]:
        """Process sequences of different lengths.

        Args:
            x: Right-padded sequences, `(batch, time, input_size)`; padding is never read.
            lengths: Number of real steps, `(batch,)` int64 on the CPU; None: no padding.
            state: Initial state: a tensor or a tuple of tensors, each
                `(layers * directions, batch, ...)`, for an LSTM (h, c); None: zeros, or the
                trained initial state.

        Returns:
            The output of the last layer, `(batch, time, output_size)`, zero on padding, and the
            state after the last real step of each sequence, shaped like `state`.

        Raises:
            TypeError: If the lengths are not int64 on the CPU.
            ValueError: If there is not one length per sequence, each from 1 to `time`, or the
                input or the state has a wrong shape.
        """
        if lengths is not None:
            check_lengths(lengths, *x.shape[:2])
            lengths = lengths if int(lengths.min()) < x.size(1) else None
        self._check_shapes(x, state)
        x, state = self._to_half(x, state)
        result = self._forward_fused(x, lengths, state)
        return self._forward_by_layer(x, lengths, state) if result is None else result

    def _forward_fused(
        self, x: Tensor, lengths: Tensor | None, state: State
    ) -> tuple[Tensor, State] | None:
        """Process all layers by one kernel; None if there is none for these arguments."""
        return None

    def _forward_by_layer(
        self, x: Tensor, lengths: Tensor | None, state: State
    ) -> tuple[Tensor, State]:
        """Process each layer and direction by one call."""
        padding = None if lengths is None else PaddingInfo(lengths, x.size(1), x.device)
        state = self._initial_state(x) if state is None else state
        states, final_states = unstack_state(state), list[LayerState]()
        x, is_clean = x.transpose(0, 1), self._skips_padding(x, *as_tuple(state))
        if not is_clean:
            x = padding.zero_padding(x.contiguous()) if padding else x.contiguous()
        for layer in range(self.num_layers):
            x = self._inter_layer_dropout(x) if layer else x
            outputs = []
            for direction in range(self.directions):
                index = len(final_states)
                y, final = self._run_direction(index, x, states[index], padding, direction == 1)
                outputs.append(y)
                final_states.append(final)
            x = torch.cat(outputs, -1) if len(outputs) > 1 else outputs[0]
        x = padding.zero_padding(x) if padding and not is_clean else x
        return x.transpose(0, 1), stack_state(final_states)

    def _skips_padding(self, x: Tensor, *state: Tensor) -> bool:
        """Return whether padding of the input is never read, and outputs are zero there."""
        return all(layer.skips_padding(x, *state) for layer in self.layers)

    def step(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Process one step, without weight drop.

        Args:
            x: One step of each sequence, `(batch, input_size)`.
            state: Previous state, as in `forward`.

        Returns:
            The output, `(batch, output_size)`, and the new state.

        Raises:
            ValueError: If the layer is bidirectional, or input or state has a wrong shape.
        """
        if self.bidirectional:
            raise ValueError("step requires a unidirectional layer, this one is bidirectional")
        self._check_shapes(x, state)
        x, state = self._to_half(x, state)
        states = unstack_state(self._initial_state(x) if state is None else state)
        new_states: list[LayerState] = []
        for index, layer_state in enumerate(states):
            x = self._inter_layer_dropout(x.unsqueeze(0)).squeeze(0) if index else x
            x, new = self._step_layer(index, x, layer_state)
            new_states.append(new)
        return x, stack_state(new_states)

    def _run_direction(
        self,
        index: int,
        x: Tensor,
        state: LayerState,
        padding: PaddingInfo | None,
        backwards: bool,
    ) -> tuple[Tensor, LayerState]:
        """Process all steps in one layer, forwards or backwards in time."""
        if not backwards:
            return self._run_layer(index, x, state, padding)
        output, final = self._run_layer(index, reverse(x, padding), state, padding)
        return reverse(output, padding), final

    def _run_layer(
        self, index: int, x: Tensor, state: LayerState, padding: PaddingInfo | None
    ) -> tuple[Tensor, LayerState]:
        """Process all steps in one layer and direction, see `UnidirectionalLayer.forward`."""
        layer, half = self.layers[index], self.half_dtype()
        dropped: dict[str, Tensor] = {}
        if self.training and self.weight_drop:
            names = layer.weight_drop_params
            dropped = {n: F.dropout(layer.get_parameter(n), self.weight_drop) for n in names}
        if half is not None:
            return _run_in_float32(layer, half, dropped, x, state, padding)
        if dropped:
            return torch.func.functional_call(layer, dropped, (x, state, padding))
        return layer(x, state, padding)

    def _step_layer(self, index: int, x: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        """Process one step in one layer, see `UnidirectionalLayer.step`."""
        layer, half = self.layers[index], self.half_dtype()
        if half is None:
            return layer.step(x, state)
        output, state = _run_in_float32(layer, half, {}, x.unsqueeze(0), state, None)
        return output.squeeze(0), state

    def half_dtype(self) -> torch.dtype | None:
        """Return the dtype of the weights if it has 16 bits; otherwise None."""
        dtype = next(self.layers[0].parameters()).dtype
        return dtype if dtype.itemsize < 4 else None

    def _to_half(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Convert the input to 16-bit weights' dtype, and the state to that of the recurrence."""
        half = self.half_dtype()
        if half is None:
            return x, state
        x = x.to(half)
        state, dtype = self._initial_state(x) if state is None else state, self._state_dtype(x)
        return x, map_state(state, lambda part: part.to(dtype))

    def _inter_layer_dropout(self, x: Tensor) -> Tensor:
        """Apply dropout to the input of a layer, `(time, batch, features)`."""
        if self.variational_dropout:
            return variational_dropout(x, self.dropout, self.training, time_dim=0)
        return F.dropout(x, self.dropout, self.training)

    def _initial_state(self, x: Tensor) -> State:
        """Return the state before the first step, for a batch as large as that of `x`."""
        if self.initial_state is not None:
            parts = self.initial_state
            return from_tuple(part.expand(-1, len(x), *part.shape[2:]) for part in parts)
        size, dtype = (self.num_layers * self.directions, len(x)), self._state_dtype(x)
        return from_tuple(x.new_zeros(*size, *shape, dtype=dtype) for shape in self.state_shapes())

    def _state_dtype(self, x: Tensor) -> torch.dtype:
        return torch.promote_types(x.dtype, torch.float32)

    def _check_shapes(self, x: Tensor, state: State) -> None:
        if x.size(-1) != self.input_size:
            raise ValueError(f"the input must have {self.input_size} features, got {x.size(-1)}")
        if state is not None:
            size = (self.num_layers * self.directions, len(x))
            expected = [(*size, *shape) for shape in self.state_shapes()]
            parts = as_tuple(state)
            if not all(isinstance(part, Tensor) for part in parts):
                kinds = ", ".join(type(part).__name__ for part in parts)
                raise ValueError(f"the state must be a tensor or a tuple of tensors, got {kinds}")
            shapes = [tuple(part.shape) for part in parts]
            if shapes != expected:
                raise ValueError(f"the state must have the shapes {expected}, got {shapes}")


def _run_in_float32(
    layer: UnidirectionalLayer,
    half: torch.dtype,
    parameters: dict[str, Tensor],
    x: Tensor,
    state: LayerState,
    padding: PaddingInfo | None,
) -> tuple[Tensor, LayerState]:
    """Run a layer with 16-bit weights as under autocast: its recurrence is computed in float32.

    Args:
        layer: The layer.
        half: Dtype of its weights, of its matrix products and of the output.
        parameters: Values that replace some of its parameters, such as dropped weights.
        x: Input of `forward`, like the arguments below.
        state: Initial state, in float32.
        padding: Real steps of the sequences.
    """
    parameters = dict(layer.named_parameters()) | parameters
    weights = {name: value.float() for name, value in parameters.items()}
    with autocast_to(x.device, half):
        output, state = torch.func.functional_call(layer, weights, (x, state, padding))
    return output.to(half), state


def reverse(x: Tensor, padding: PaddingInfo | None) -> Tensor:
    """Reverse sequences, `(time, batch, ...)`, within their lengths."""
    return padding.reverse(x) if padding else x.flip(0)


def check_probabilities(**probabilities: float) -> None:
    """Validate dropout probabilities.

    Raises:
        ValueError: If one is not at least 0 and below 1.
    """
    for name, p in probabilities.items():
        if not 0 <= p < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, got {p}")


def _check_parameters(layer: UnidirectionalLayer) -> None:
    """Check that weight drop finds the parameters that it applies to."""
    parameters = [name.removeprefix("cell.") for name, _ in layer.named_parameters()]
    for name in (each.removeprefix("cell.") for each in layer.weight_drop_params):
        if name not in parameters:
            raise ValueError(
                f"weight drop applies to {name}, which is no parameter of this layer: set its "
                f"weight_drop_params to some of {', '.join(parameters)}"
            )
