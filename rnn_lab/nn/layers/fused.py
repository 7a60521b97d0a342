"""Torch's fused recurrent layers for padded batches with lengths, exact and fast.

On a CPU torch processes packed sequences step by step and padded ones in one fused call that is
many times faster. With padding, each layer and direction is therefore one padded call. It is exact
because padding is always at the end: the backward direction gets a copy in which each sequence is
reversed within its length. On CUDA it is the other way round: cuDNN supports packed sequences.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnn_lab.nn.functional.linear import DeferredLinear, linear
from rnn_lab.nn.functional.padding import PaddingInfo
from rnn_lab.nn.functional.state import LayerState, State, as_tuple, zoneout
from rnn_lab.nn.layers.stack import StackedRNN, reverse
from rnn_lab.nn.native.recurrence import Recurrence, Run, supports
from rnn_lab.nn.native.zoneout import Zoneout

PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class FusedRNN(StackedRNN, nn.RNNBase, ABC):
    """Base class of RNN, LSTM and GRU: a `StackedRNN` with torch's parameters and kernels.

    Torch's parameter names are kept, so that its checkpoints load. Torch's kernels do not support
    zoneout, with which steps are computed one by one unless there is a compiled kernel.

    Args:
        input_size: Number of input features.
        hidden_size: Number of units per layer and direction.
        num_layers: Number of stacked recurrent layers.
        dropout: Dropout probability between layers.
        bidirectional: If True, use bidirectional layers.
        variational_dropout: See `StackedRNN`.
        weight_drop: See `StackedRNN`.
        zoneout: See `StackedRNN`.
        trainable_initial_state: See `StackedRNN`.

    Attributes:
        sequence_kernel: Torch's function for all steps of a layer.
        step_kernel: Torch's function for one step of a layer.
        native_kernel: Name of the compiled kernel of a layer, see `rnn_lab.nn.native`.
        num_states: Number of state tensors.
    """

    sequence_kernel: Callable[..., tuple[Tensor, Tensor]]
    step_kernel: Callable[..., Any]
    native_kernel: ClassVar[str]
    num_states: ClassVar[int] = 1
    parallel = False

    def _create_layers(self) -> None:
        if self.options:
            raise TypeError(f"{type(self).__name__} has no option {min(self.options)}")
        super(StackedRNN, self).__init__(  # type: ignore[call-arg]  # nn.LSTM, nn.GRU or nn.RNN
            input_size=self.input_size,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            batch_first=True,
            dropout=self.dropout,
            bidirectional=self.bidirectional,
        )

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.hidden_size,),) * self.num_states

    def weights(self, layer: int, suffix: str = "") -> list[Tensor]:
        """Return the parameters of a layer in torch's order, see `PARAMETERS`."""
        return [getattr(self, f"{name}_l{layer}{suffix}") for name in PARAMETERS]

    def _forward_fused(
        self, x: Tensor, lengths: Tensor | None, state: State
    ) -> tuple[Tensor, State] | None:
        variational = self.variational_dropout and self.dropout and self.num_layers > 1
        if self.zoneout or (self.training and (self.weight_drop or variational)):
            return None
        if x.size(1) == 1 and not (self.bidirectional or x.is_cuda or x.requires_grad):
            output, state = self.step(x.squeeze(1), state)
            return output.unsqueeze(1), state
        parts = () if state is None else as_tuple(state)
        if self._skips_padding(x, *parts):
            return None
        if lengths is not None and not x.is_cuda:
            return None
        if state is None and self.initial_state is not None:
            state = self._initial_state(x)
        torch_forward = super(StackedRNN, self).forward
        if lengths is None:
            return torch_forward(x, state)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        output, state = torch_forward(packed, state)
        return pad_packed_sequence(output, batch_first=True, total_length=x.size(1))[0], state

    def _skips_padding(self, x: Tensor, *state: Tensor) -> bool:
        return supports(self.native_kernel, x, *state, *self.weights(0))

    def cell_step(self, layer: int, x: Tensor, state: LayerState) -> LayerState:
        """Process one step in one layer, much faster than a call of torch's layer for one step.

        Args:
            layer: Index of the layer.
            x: Input of the layer, `(batch, features)`.
            state: Previous state, h or h and c, each `(batch, hidden_size)`.

        Returns:
            The new state, shaped like `state`.
        """
        w_ih, w_hh, b_ih, b_hh = self.weights(layer)
        if x.device.type != "cpu":
            hx = state if len(state) > 1 else state[0]
            new = self.step_kernel(x, hx, w_ih, w_hh, b_ih, b_hh)
            return new if isinstance(new, tuple) else (new,)
        return self._update(linear(x, w_ih, b_ih), linear(state[0], w_hh, b_hh), *state)

    @abstractmethod
    def _update(self, x_gates: Tensor, h_gates: Tensor, *state: Tensor) -> LayerState:
        """Compute the new state from the projections of input and state."""

    def _step_layer(self, index: int, x: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        new = self.cell_step(index, x, state)
        new = zoneout(state, new, self.zoneout, self.training)
        return self._to_output(new[0]), new

    def _run_direction(
        self,
        index: int,
        x: Tensor,
        state: LayerState,
        padding: PaddingInfo | None,
        backwards: bool,
    ) -> tuple[Tensor, LayerState]:
        layer, direction = divmod(index, self.directions)
        weights = self.weights(layer, "_reverse" if direction else "")
        if self.training and self.weight_drop:
            weights[1] = F.dropout(weights[1], self.weight_drop)

        def plain(
            x: Tensor, state: LayerState, weights: Sequence[Tensor]
        ) -> tuple[Tensor, LayerState]:
            run = self._unroll if self.zoneout else self._run_kernel
            if not backwards:
                return run(x, padding, state, list(weights))
            output, final = run(reverse(x, padding), padding, state, list(weights))
            return reverse(output, padding), final

        if not supports(self.native_kernel, x, *state, *weights):
            return plain(x, state, weights)

        def exact(
            x: Tensor, state: LayerState, weights: Sequence[Tensor]
        ) -> tuple[Tensor, LayerState]:
            """Compute what the kernel computes: padding is not read, and zero in the output."""
            if padding is None:
                return plain(x, state, weights)
            output, final = plain(padding.zero_padding(x.contiguous()), state, weights)
            return padding.zero_padding(output), final

        zoneout, kernel = self._native_zoneout(len(x), state), self.native_kernel
        twice = exact if zoneout is None else None
        return Recurrence(kernel, padding, backwards, twice, Run, zoneout)(x, state, weights)

    def _native_zoneout(self, time: int, state: LayerState) -> Zoneout | None:
        """Return the zoneout that a compiled kernel computes; None if there is none."""
        if not self.zoneout:
            return None
        return Zoneout.draw(self.zoneout, time, state) if self.training else Zoneout(self.zoneout)

    def _run_kernel(
        self, x: Tensor, padding: PaddingInfo | None, state: LayerState, weights: list[Tensor]
    ) -> tuple[Tensor, LayerState]:
        """Process one layer and direction by torch's kernel."""
        h = state[0].unsqueeze(0)
        output, last = self.sequence_kernel(
            x, h, weights, True, 1, 0.0, self.training, False, False
        )
        return output, (padding.last_step(output) if padding else last.squeeze(0),)

    def _unroll(
        self, x: Tensor, padding: PaddingInfo | None, state: LayerState, weights: list[Tensor]
    ) -> tuple[Tensor, LayerState]:
        """Process one layer and direction step by step, with zoneout."""
        w_ih, w_hh, b_ih, b_hh = weights
        project_state, states = DeferredLinear(w_hh, b_hh), []
        for x_gates in linear(x, w_ih, b_ih).unbind(0):
            new = self._update(x_gates, project_state(state[0], None), *state)
            state = zoneout(state, new, self.zoneout, self.training)
            states.append(state)
        stacked = [torch.stack(part) for part in zip(*states, strict=True)]
        final = tuple(padding.last_step(part) for part in stacked) if padding else state
        return self._to_output(stacked[0]), final

    def half_dtype(self) -> torch.dtype | None:
        weight: Any = self._flat_weights[0]
        dtype = weight.dtype
        return dtype if dtype.itemsize < 4 else None

    def _to_output(self, h: Tensor) -> Tensor:
        """Convert the state, which zoneout computes in float32, to the dtype of 16-bit weights."""
        half = self.half_dtype()
        return h if half is None else h.to(half)

    def _state_dtype(self, x: Tensor) -> torch.dtype:
        return x.dtype
