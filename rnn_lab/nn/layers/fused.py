"""torch's fused layers over padded batches with lengths, exact and fast.

On a CPU torch reads packed sequences step by step and padded ones in one fused call that is many
times faster. So every layer and direction is one padded call, exact because padding always comes
last: the backward direction reads a copy in which each row is reversed inside its length. On CUDA
it is the other way round: cuDNN reads packed sequences itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnn_lab.nn.dropout import VariationalDropout
from rnn_lab.nn.functional.linear import DeferredLinear, linear
from rnn_lab.nn.functional.padding import PaddingInfo, check_lengths
from rnn_lab.nn.functional.state import (
    LayerState,
    State,
    from_tuple,
    stack_state,
    unstack_state,
    zoneout,
)
from rnn_lab.nn.layers.stack import check_probabilities

PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class FusedRNN(nn.RNNBase, ABC):
    """What RNN, LSTM and GRU share: torch's parameters, rows read by their lengths.

    Args:
        input_size: Features of a step.
        hidden_size: Units of each layer and direction.
        num_layers: Layers, each reading the output of the one below.
        dropout: Share of the features dropped between two layers, in training.
        bidirectional: Whether every layer reads backwards, too.
        variational_dropout: Whether that dropout is the same at all steps of a row.
        weight_drop: Share of the recurrent weights dropped in training, drawn for each call of
            `forward`.
        zoneout: Probability of a unit of the state to stay as it was, in training; in evaluation
            it moves by the mean. Torch's fused layers cannot do it: all steps are taken one by one.
        trainable_initial_state: Whether the first state is learned; else it is zero.

    Attributes:
        year: When the layer was published.
        cost: Multiply-adds of a step, of D inputs and H units.
        parallel: Whether all steps can be taken at once, the state being linear in itself.
    """

    kernel: Callable[..., tuple[Tensor, Tensor]]
    cell: Callable[..., Any]
    num_states: ClassVar[int] = 1
    year: ClassVar[int]
    cost: ClassVar[str]
    parallel: ClassVar[bool] = False

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
    ) -> None:
        check_probabilities(weight_drop=weight_drop, zoneout=zoneout)
        super().__init__(  # type: ignore[call-arg]  # the next class in line is nn.LSTM or alike
            input_size=input_size,
            hidden_size=hidden_size,
            num_layers=num_layers,
            batch_first=True,
            dropout=dropout,
            bidirectional=bidirectional,
        )
        self.variational_dropout, self.weight_drop, self.zoneout = (
            variational_dropout,
            weight_drop,
            zoneout,
        )
        shape = (num_layers * (2 if bidirectional else 1), 1, hidden_size)
        kept = self.num_states if trainable_initial_state else 0
        self.initial_state = nn.ParameterList(torch.zeros(shape) for _ in range(kept))

    @property
    def output_size(self) -> int:
        """Features of a step of the output."""
        return self.hidden_size * (2 if self.bidirectional else 1)

    def weights(self, layer: int, suffix: str = "") -> list[Tensor]:
        """The parameters of a layer in torch's order: input, recurrent, and a bias of each."""
        return [getattr(self, f"{name}_l{layer}{suffix}") for name in PARAMETERS]

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, state: State = None
    ) -> tuple[Tensor, State]:
        """Read rows of any length.

        Args:
            x: Rows padded on the right, `(batch, time, input_size)`; padding is never read.
            lengths: Real steps of each row, `(batch,)` int64 on the CPU; None: all rows are full.
            state: What came before, `(layers * directions, batch, hidden_size)`, for an LSTM a
                pair (h, c) of these; None: zeros.

        Returns:
            The last layer's output, `(batch, time, output_size)`, zero on padding, and the state
            after the last real step of each row, shaped like `state`.

        Raises:
            TypeError: If the lengths are not whole numbers on the CPU.
            ValueError: If there is not one length a row, each from 1 to `time`.
        """
        if lengths is not None:
            check_lengths(lengths, *x.shape[:2])
        regularized = self.zoneout or (
            self.training
            and (
                self.weight_drop
                or (self.variational_dropout and self.dropout and self.num_layers > 1)
            )
        )
        if regularized:
            return self._layers(x, lengths, state)
        if x.size(1) == 1 and not (self.bidirectional or x.is_cuda or x.requires_grad):
            output, state = self.step(x.squeeze(1), state)
            return output.unsqueeze(1), state
        if state is None and len(self.initial_state):
            state = self._zeros(x)
        if lengths is None or int(lengths.min()) == x.size(1):
            return super().forward(x, state)
        return (self._packed if x.is_cuda else self._layers)(x, lengths, state)

    def step(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Read one step; no weight is dropped.

        Args:
            x: One step of every row, `(batch, input_size)`.
            state: What came before, as in `forward`.

        Returns:
            The output, `(batch, output_size)`, and the state after it.

        Raises:
            ValueError: If the layer is bidirectional.
        """
        if self.bidirectional:
            raise ValueError("a bidirectional layer cannot step: it needs the whole row")
        before = unstack_state(self._zeros(x) if state is None else state)
        after: list[LayerState] = []
        for layer in range(self.num_layers):
            x = F.dropout(x, self.dropout, self.training) if layer else x
            made = self.cell_step(layer, x, before[layer])
            after.append(zoneout(before[layer], made, self.zoneout, self.training))
            x = after[-1][0]
        return x, stack_state(after)

    def cell_step(self, layer: int, x: Tensor, state: LayerState) -> LayerState:
        """Read one step in one layer, which is far faster than a layer of torch for one step.

        Args:
            layer: Number of the layer.
            x: Its input, `(batch, features)`.
            state: What came before, h or h and c, each `(batch, hidden_size)`.

        Returns:
            The state after it, like `state`.
        """
        w_ih, w_hh, b_ih, b_hh = self.weights(layer)
        if x.device.type != "cpu":
            after = self.cell(x, state if len(state) > 1 else state[0], w_ih, w_hh, b_ih, b_hh)
            return after if isinstance(after, tuple) else (after,)
        return self._step(linear(x, w_ih, b_ih), linear(state[0], w_hh, b_hh), *state)

    @abstractmethod
    def _step(self, x: Tensor, again: Tensor, *state: Tensor) -> LayerState:
        """Make the state after a step of the products of input and state."""

    def _packed(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        output, state = super().forward(packed, state)
        return pad_packed_sequence(output, batch_first=True, total_length=x.size(1))[0], state

    def _zeros(self, x: Tensor) -> State:
        """The state before any step: zeros, or what was learned."""
        if len(self.initial_state):
            return from_tuple(part.expand(-1, len(x), -1) for part in self.initial_state)
        layers = self.num_layers * (2 if self.bidirectional else 1)
        return from_tuple(x.new_zeros(self.num_states, layers, len(x), self.hidden_size).unbind(0))

    def _layers(self, x: Tensor, lengths: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Read by one call for each layer and direction."""
        state = self._zeros(x) if state is None else state
        self.check_forward_args(x, state, None)
        before = unstack_state(state)
        after: list[LayerState] = []
        padding = None
        if lengths is not None and int(lengths.min()) < x.size(1):
            padding = PaddingInfo(lengths, x.size(1), x.device)
        between = (
            VariationalDropout(self.dropout, time_dim=0)
            if self.variational_dropout
            else nn.Dropout(self.dropout)
        )
        x = x.transpose(0, 1).contiguous()
        x = padding.zero_padding(x) if padding else x
        for layer in range(self.num_layers):
            x = between.train(self.training)(x) if layer else x
            outputs = []
            for suffix in ("", "_reverse") if self.bidirectional else ("",):
                weights = self.weights(layer, suffix)
                if self.training and self.weight_drop:
                    weights[1] = F.dropout(weights[1], self.weight_drop)
                read = self._walk if self.zoneout else self._read
                y, final = read(
                    _turned(x, padding) if suffix else x, padding, before[len(after)], weights
                )
                outputs.append(_turned(y, padding) if suffix else y)
                after.append(final)
            x = torch.cat(outputs, dim=-1)
        x = padding.zero_padding(x) if padding else x
        return x.transpose(0, 1), stack_state(after)

    def _read(
        self, x: Tensor, padding: PaddingInfo | None, state: LayerState, weights: list[Tensor]
    ) -> tuple[Tensor, LayerState]:
        """Run one layer and direction: its output and the state after each row's last step."""
        one = state[0].unsqueeze(0)
        output, last = self.kernel(x, one, weights, True, 1, 0.0, self.training, False, False)
        return output, (padding.last_step(output) if padding else last.squeeze(0),)

    def _walk(
        self, x: Tensor, padding: PaddingInfo | None, state: LayerState, weights: list[Tensor]
    ) -> tuple[Tensor, LayerState]:
        """Run one layer and direction step by step, keeping units as they were."""
        w_ih, w_hh, b_ih, b_hh = weights
        again, states = DeferredLinear(w_hh, b_hh), []
        for gates in linear(x, w_ih, b_ih).unbind(0):
            made = self._step(gates, again(state[0], None), *state)
            state = zoneout(state, made, self.zoneout, self.training)
            states.append(state)
        walked = [torch.stack(part) for part in zip(*states, strict=True)]
        return walked[0], tuple(padding.last_step(part) for part in walked) if padding else state


def _turned(x: Tensor, padding: PaddingInfo | None) -> Tensor:
    return padding.reverse(x) if padding else x.flip(0)
