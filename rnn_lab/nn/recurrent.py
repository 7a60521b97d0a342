"""RNN, LSTM and GRU: torch's fused layers over padded batches with lengths, exact and fast.

On a CPU torch reads packed sequences step by step and padded ones in one fused call that is many
times faster. So every layer and direction is one padded call, exact because padding always comes
last: the backward direction reads a copy in which each row is reversed inside its length. On CUDA
it is the other way round: cuDNN reads packed sequences itself.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnn_lab.nn.gates import gru_gates, lstm_gates
from rnn_lab.nn.products import linear

State = Any  # a Tensor; for an LSTM a pair (h, c) of them
PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class RecurrentLayer(nn.RNNBase):
    """What RNN, LSTM and GRU share: torch's parameters, rows read by their lengths.

    Args:
        input_size: Features of a step.
        hidden_size: Units of each layer and direction.
        num_layers: Layers, each reading the output of the one below.
        dropout: Share of the features dropped between two layers, in training.
        bidirectional: Whether every layer reads backwards, too.
    """

    kernel: Callable[..., tuple[Tensor, Tensor]]
    cell: Callable[..., Any]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        super().__init__(  # type: ignore[call-arg]  # the next class in line is nn.LSTM or alike
            input_size=input_size,
            hidden_size=hidden_size,
            num_layers=num_layers,
            batch_first=True,
            dropout=dropout,
            bidirectional=bidirectional,
        )

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
            _check_lengths(lengths, *x.shape[:2])
        if x.size(1) == 1 and not (self.bidirectional or x.is_cuda or x.requires_grad):
            output, state = self.step(x.squeeze(1), state)
            return output.unsqueeze(1), state
        if lengths is None or int(lengths.min()) == x.size(1):
            return super().forward(x, state)
        return (self._packed if x.is_cuda else self._padded)(x, lengths, state)

    def step(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Read one step.

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
        if state is None:
            zeros = x.new_zeros(self.num_layers, len(x), self.hidden_size)
            state = (zeros, zeros) if self.mode == "LSTM" else zeros
        after: list[tuple[Tensor, ...]] = []
        for layer, before in enumerate(_split(state)):
            if layer:
                x = F.dropout(x, self.dropout, self.training)
            after.append(self.cell_step(layer, x, tuple(part[0] for part in before)))
            x = after[-1][0]
        return x, _join(after)

    def cell_step(self, layer: int, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
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

    def _step(self, x: Tensor, again: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Make the state after a step of the products of input and state."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its step is")

    def _packed(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        output, state = super().forward(packed, state)
        return pad_packed_sequence(output, batch_first=True, total_length=x.size(1))[0], state

    def _padded(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        if state is None:
            zeros = x.new_zeros(self.get_expected_hidden_size(x, None))
            state = (zeros, zeros) if self.mode == "LSTM" else zeros
        self.check_forward_args(x, state, None)
        before = _split(state)
        after: list[tuple[Tensor, ...]] = []
        rows = _Rows(lengths, x.size(1), x.device)
        x = rows.blank(x.transpose(0, 1).contiguous())
        for layer in range(self.num_layers):
            x = F.dropout(x, self.dropout, self.training and layer > 0)
            outputs = []
            for suffix in ("", "_reverse") if self.bidirectional else ("",):
                weights = self.weights(layer, suffix)
                y = rows.reverse(x) if suffix else x
                y, final = self._read(y, rows, before[len(after)], weights)
                outputs.append(rows.reverse(y) if suffix else y)
                after.append(final)
            x = torch.cat(outputs, dim=-1)
        return rows.blank(x).transpose(0, 1), _join(after)

    def _read(
        self, x: Tensor, rows: "_Rows", state: tuple[Tensor, ...], weights: list[Tensor]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run one layer and direction: its output and the state after each row's last step."""
        output, _ = self.kernel(x, *state, weights, True, 1, 0.0, self.training, False, False)
        return output, (rows.last(output),)


class RNN(RecurrentLayer, nn.RNN):  # type: ignore[misc]  # lengths stand where torch has hx
    """The simple recurrent network: `h = tanh(W x + R h + b)`.

    Source: Elman (1990), https://doi.org/10.1207/s15516709cog1402_1.
    """

    kernel = torch.rnn_tanh
    cell = torch.rnn_tanh_cell

    def _step(self, x: Tensor, again: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        return (torch.tanh(x + again),)


class GRU(RecurrentLayer, nn.GRU):  # type: ignore[misc]  # lengths stand where torch has hx
    """Gated recurrent units: a reset gate and an update gate.

    Source: Cho et al. (2014), https://arxiv.org/abs/1406.1078.
    """

    kernel = torch.gru
    cell = torch.gru_cell

    def _step(self, x: Tensor, again: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        return (gru_gates(x, again, state[0]),)


class LSTM(RecurrentLayer, nn.LSTM):  # type: ignore[misc]  # lengths stand where torch has hx
    """Long short-term memory: a cell state behind an input, a forget and an output gate.

    Source: Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735; Gers et
    al. (2000), https://doi.org/10.1162/089976600300015015, for the forget gate.
    """

    cell = torch.lstm_cell

    def _step(self, x: Tensor, again: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        return lstm_gates(x + again, state[1])

    def _read(
        self, x: Tensor, rows: "_Rows", state: tuple[Tensor, ...], weights: list[Tensor]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        # The kernel gives c after the last step only. One more feature, one on padding, shuts the
        # input gate and opens the forget gate there, so that c stays what it was, to the last bit.
        hold = x.new_tensor([-1e4, 1e4, 0, 0]).repeat_interleave(self.hidden_size).unsqueeze(1)
        x = torch.cat([x, rows.padding.to(x)], dim=-1)
        weights = [torch.cat([weights[0], hold], dim=1), *weights[1:]]
        output, _, c = torch.lstm(x, state, weights, True, 1, 0.0, self.training, False, False)
        return output, (rows.last(output), c.squeeze(0))


class _Rows:
    """Rows of different lengths as the kernels see them, `(time, batch, features)`."""

    def __init__(self, lengths: Tensor, time: int, device: torch.device) -> None:
        steps, rows = torch.arange(time).unsqueeze(1), torch.arange(len(lengths))
        padding = steps >= lengths
        mirrored = torch.where(padding, steps, lengths - 1 - steps)
        self.padding = padding.unsqueeze(-1).to(device)
        self.padded = padding.flatten().nonzero().squeeze(1).to(device)
        self.mirrored = (mirrored * len(lengths) + rows).flatten().to(device)
        self.final = ((lengths - 1) * len(lengths) + rows).to(device)

    def blank(self, x: Tensor) -> Tensor:
        """Set padding to zero; where little is padded, many times faster than `masked_fill`."""
        return x.flatten(0, 1).index_fill(0, self.padded, 0).view_as(x)

    def reverse(self, x: Tensor) -> Tensor:
        """Turn each row round inside its length."""
        return x.flatten(0, 1).index_select(0, self.mirrored).view_as(x)

    def last(self, x: Tensor) -> Tensor:
        """Take each row's last real step, `(batch, features)`."""
        return x.flatten(0, 1).index_select(0, self.final)


def _split(state: State) -> list[tuple[Tensor, ...]]:
    """One state for each layer and direction, as a tuple also where it has one part."""
    parts = state if isinstance(state, tuple) else (state,)
    return list(zip(*(part.split(1) for part in parts), strict=True))


def _join(states: list[tuple[Tensor, ...]]) -> State:
    parts = tuple(torch.stack(part) for part in zip(*states, strict=True))
    return parts if len(parts) > 1 else parts[0]


def _check_lengths(lengths: Tensor, batch: int, time: int) -> None:
    if not isinstance(lengths, Tensor):
        found = type(lengths).__name__
        raise TypeError(f"lengths must be an int64 tensor, got a {found}; the state comes third")
    if lengths.dtype != torch.int64 or not lengths.is_cpu:
        found = f"{lengths.dtype} on {lengths.device}"
        raise TypeError(f"lengths must be int64 on the CPU, got {found}; the state comes third")
    if lengths.shape != (batch,):
        raise ValueError(f"lengths must have shape ({batch},), got {tuple(lengths.shape)}")
    shortest, longest = (int(bound) for bound in lengths.aminmax())
    if shortest < 1 or longest > time:
        wrong = shortest if shortest < 1 else longest
        raise ValueError(f"lengths must be from 1 to {time}, got {wrong}")
