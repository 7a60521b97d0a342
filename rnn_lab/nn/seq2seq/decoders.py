"""Decoders of sequence-to-sequence models, which differ in where attention is applied.

`Decoder` has no attention. `AttentionDecoder` applies it before the recurrent layers (the query is
the previous state), `GNMTDecoder` between them (the query is the output of the first layer), and
`LuongDecoder` after them.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rnn_lab.nn.functional.linear import Linear
from rnn_lab.nn.functional.state import (
    State,
    as_tuple,
    from_tuple,
    map_state,
    stack_state,
    unstack_state,
)
from rnn_lab.nn.initialization import initialize
from rnn_lab.nn.layers.fused import FusedRNN
from rnn_lab.nn.layers.gru import GRU
from rnn_lab.nn.layers.lstm import LSTM
from rnn_lab.nn.layers.rnn import RNN
from rnn_lab.nn.seq2seq.attention import ATTENTIONS, AttentionLayer, Memory
from rnn_lab.nn.seq2seq.compiled_loop import run_compiled
from rnn_lab.nn.seq2seq.dropouts import NO_DROPOUT, Seq2SeqDropouts
from rnn_lab.nn.seq2seq.embeddings import Embeddings
from rnn_lab.nn.seq2seq.stepper import Stepper

DECODER_LAYERS: dict[str, type[FusedRNN]] = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}


class Decoder(nn.Module):
    """Decode a target from an initial state alone, without attention.

    Args:
        output_dim: Number of tokens in the target vocabulary.
        embedding_dim: Size of a token embedding.
        hidden_dim: Size of the hidden state.
        num_layers: Number of stacked recurrent layers.
        layer: `RNN`, `LSTM` or `GRU`.
        readout_dim: Size of a tanh layer over output, context and embedding before the output
            layer; None: the output layer reads the recurrent output, or `hidden_dim` for a decoder
            that requires this layer.
        layer_norm: If True, apply layer normalization to the embeddings and the readout.
        dropouts: Dropout probabilities; all but `encoder_output` are used here.

    Attributes:
        requires_readout: Whether the output layer always reads the readout.
    """

    requires_readout: ClassVar[bool] = False

    def __init__(
        self,
        output_dim: int,
        embedding_dim: int,
        hidden_dim: int,
        num_layers: int,
        *,
        layer: str = "LSTM",
        readout_dim: int | None = None,
        layer_norm: bool = False,
        dropouts: Seq2SeqDropouts = NO_DROPOUT,
    ) -> None:
        super().__init__()
        if layer not in DECODER_LAYERS:
            names = ", ".join(DECODER_LAYERS)
            raise ValueError(f"the layer of a decoder must be one of {names}, got {layer!r}")
        self.layer_class = DECODER_LAYERS[layer]
        self.num_layers, self.hidden_dim = num_layers, hidden_dim
        if readout_dim is None and self.requires_readout:
            readout_dim = hidden_dim
        self.readout_dim = readout_dim
        self.embedding = Embeddings(
            output_dim, embedding_dim, dropouts=dropouts, layer_norm=layer_norm
        )
        self._build(self.layer_class, dropouts.layer if num_layers > 1 else 0.0)
        for net in self.children():
            if isinstance(net, FusedRNN):
                initialize(net)
        self.readout: Readout | None = None
        if readout_dim is not None:
            self.readout = Readout(self.readout_input_size(), readout_dim, layer_norm)
        self.output_dropout = dropouts.feature_dropout(dropouts.output)
        self.fc = Linear(readout_dim or hidden_dim, output_dim)

    def _build(self, layer: type[FusedRNN], dropout: float) -> None:
        """Build the recurrent layers."""
        size = self.embedding.embedding_dim
        self.recurrent = layer(size, self.hidden_dim, self.num_layers, dropout)

    @property
    def num_states(self) -> int:
        """Number of tensors in the recurrent state."""
        return self.layer_class.num_states

    def readout_input_size(self) -> int:
        """Return the size of output, context and embedding together."""
        return self.hidden_dim + self.embedding.embedding_dim

    def prepare(self, memory: Tensor, mask: Tensor | None = None) -> Memory | None:
        """Project the memory once for all steps; None for a decoder without attention."""
        return None

    def start(self, state: State) -> State:
        """Return the decoder's initial state from that of the recurrent layers."""
        return state

    def forward(
        self,
        tokens: Tensor,
        state: State,
        memory: Tensor | Memory | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, State, Tensor | None]:
        """Compute the logits of the next token at each step.

        Args:
            tokens: Token ids, `(rows, steps)`: all steps in training, one in decoding.
            state: The state before the first step; the initial one is the result of `start`.
            memory: The encoder's output, `(batch, src_len, features)`, or the result of
                `prepare`. `rows` may be a multiple of `batch`, as in beam search: adjacent rows
                then share a row of the memory.
            mask: True on real tokens of the source, `(batch, src_len)`.

        Returns:
            Logits `(rows, steps, output_dim)`, the state after the last step, and the attention
            weights `(rows, steps, src_len)`; None for a decoder without attention.
        """
        if isinstance(memory, Tensor):
            memory = self.prepare(memory, mask)
        features, state, weights = self.features(tokens, state, memory)
        return self.fc(features), state, weights

    def features(
        self, tokens: Tensor, state: State, memory: Memory | None
    ) -> tuple[Tensor, State, Tensor | None]:
        """Compute the input of `fc`, `(rows, steps, fc.in_features)`; otherwise as `forward`."""
        embedded = self.embedding(tokens)
        output, context, state, weights = self.run_layers(embedded, state, memory)
        features = output
        if self.readout is not None:
            inputs = [output, embedded] if context is None else [output, context, embedded]
            features = self.readout(torch.cat(inputs, -1))
        return self.output_dropout(features), state, weights

    def run_layers(
        self, embedded: Tensor, state: State, memory: Memory | None
    ) -> tuple[Tensor, Tensor | None, State, Tensor | None]:
        """Run recurrent layers and attention: output, context, state, weights of all steps."""
        output, state = self.recurrent(embedded, None, state)
        return output, None, state, None


class Readout(nn.Module):
    """Tanh layer over the output, context and embedding of a step.

    Args:
        input_size: Size of output, context and embedding together.
        output_size: Size of the result.
        layer_norm: If True, apply layer normalization before the tanh.
    """

    def __init__(self, input_size: int, output_size: int, layer_norm: bool = False) -> None:
        super().__init__()
        self.linear = Linear(input_size, output_size)
        self.norm = nn.LayerNorm(output_size) if layer_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map `(..., input_size)` to `(..., output_size)`, between minus one and one."""
        return torch.tanh(self.norm(self.linear(x)))


class AttentiveDecoder(Decoder):
    """Base of decoders with attention.

    Args:
        output_dim: See `Decoder`, also for arguments that are not listed here.
        embedding_dim: Size of a token embedding.
        hidden_dim: Size of the hidden state and of the attention's hidden layer.
        num_layers: Number of stacked recurrent layers.
        memory_size: Features of the encoder's output; None: `hidden_dim`.
        attention: Score function: `additive`, `scaled_dot` or `general`.
    """

    def __init__(
        self,
        output_dim: int,
        embedding_dim: int,
        hidden_dim: int,
        num_layers: int,
        *,
        memory_size: int | None = None,
        attention: str = "additive",
        **options: Any,
    ) -> None:
        self.memory_size = hidden_dim if memory_size is None else memory_size
        super().__init__(output_dim, embedding_dim, hidden_dim, num_layers, **options)
        if attention not in ATTENTIONS:
            raise ValueError(f"attention must be one of {', '.join(ATTENTIONS)}, got {attention!r}")
        self.attention: AttentionLayer = ATTENTIONS[attention](
            hidden_dim, self.memory_size, hidden_dim
        )

    def readout_input_size(self) -> int:
        return super().readout_input_size() + self.memory_size

    def prepare(self, memory: Tensor, mask: Tensor | None = None) -> Memory:
        """Project the memory once for all steps, see `AttentionLayer.prepare`."""
        return self.attention.prepare(memory, mask)


class AttentionDecoder(AttentiveDecoder):
    """Decoder with attention before the recurrent layers.

    The query is the top layer's previous state; the context is concatenated to the embedding.

    Source: Bahdanau et al. (2015), https://arxiv.org/abs/1409.0473, section 3.1.
    """

    def _build(self, layer: type[FusedRNN], dropout: float) -> None:
        size = self.embedding.embedding_dim + self.memory_size
        self.recurrent = layer(size, self.hidden_dim, self.num_layers, dropout)

    def run_layers(
        self, embedded: Tensor, state: State, memory: Memory | None
    ) -> tuple[Tensor, Tensor | None, State, Tensor | None]:
        compiled = run_compiled(self.recurrent, self.attention, embedded, state, memory)
        if compiled is not None:
            return compiled
        stepper, states = Stepper(self.recurrent, embedded), unstack_state(state)
        steps = []
        for t in range(embedded.size(1)):
            context, weights = self.attention(states[-1][0].unsqueeze(1), memory)
            output, states = stepper.step(t, context.squeeze(1), states)
            steps.append((output, context.squeeze(1), weights.squeeze(1)))
        output, context, weights = (torch.stack(each, 1) for each in zip(*steps, strict=True))
        return output, context, stack_state(states), weights


class GNMTDecoder(AttentiveDecoder):
    """Decoder with attention between the first and the other recurrent layers.

    The query is the first layer's output; the other layers read it with the context. The context
    is not fed back to the first layer, so that all steps of a layer are one call.

    Source: Wu et al. (2016), https://arxiv.org/abs/1609.08144, section 3; there the context of
    the previous step is also an input of the first layer.
    """

    def _build(self, layer: type[FusedRNN], dropout: float) -> None:
        if self.num_layers < 2:
            raise ValueError("attention between layers needs num_layers of at least 2")
        size = self.hidden_dim
        self.lower = layer(self.embedding.embedding_dim, size)
        upper = self.num_layers - 1
        self.upper = layer(size + self.memory_size, size, upper, dropout if upper > 1 else 0.0)
        self.dropout = nn.Dropout(dropout)

    def run_layers(
        self, embedded: Tensor, state: State, memory: Memory | None
    ) -> tuple[Tensor, Tensor | None, State, Tensor | None]:
        lower, upper = _split_layers(state)
        query, lower = self.lower(embedded, None, lower)
        context, weights = self.attention(query, memory)
        output, upper = self.upper(self.dropout(torch.cat([query, context], -1)), None, upper)
        return output, context, _join_layers(lower, upper), weights


class LuongDecoder(AttentiveDecoder):
    """Decoder with attention after the recurrent layers.

    Source: Luong et al. (2015), https://arxiv.org/abs/1508.04025, section 3.1.

    Attributes:
        input_feeding: Whether the attentional state (the readout) is concatenated to the next
            step's embedding.
    """

    requires_readout = True
    input_feeding: ClassVar[bool] = False

    @property
    def fed_size(self) -> int:
        """Size of the attentional state that is fed to the next step."""
        return (self.readout_dim or 0) if self.input_feeding else 0

    def _build(self, layer: type[FusedRNN], dropout: float) -> None:
        size = self.embedding.embedding_dim + self.fed_size
        self.recurrent = layer(size, self.hidden_dim, self.num_layers, dropout)

    def start(self, state: State) -> State:
        """Add a zero attentional state for input feeding."""
        if not self.fed_size:
            return state
        states = as_tuple(state)
        return (*states, states[0].new_zeros(1, states[0].size(1), self.fed_size))

    def run_layers(
        self, embedded: Tensor, state: State, memory: Memory | None
    ) -> tuple[Tensor, Tensor | None, State, Tensor | None]:
        if self.fed_size:
            return self._feed_input(embedded, state, memory)
        output, state = self.recurrent(embedded, None, state)
        context, weights = self.attention(output, memory)
        return output, context, state, weights

    def _feed_input(
        self, embedded: Tensor, state: State, memory: Memory | None
    ) -> tuple[Tensor, Tensor | None, State, Tensor | None]:
        """Run step by step: the readout of each step is an input of the next."""
        assert self.readout is not None  # the constructor builds one
        if isinstance(self.readout.norm, nn.Identity):
            recurrent, attention, linear = self.recurrent, self.attention, self.readout.linear
            compiled = run_compiled(recurrent, attention, embedded, state, memory, linear)
            if compiled is not None:
                return compiled
        stepper, steps = Stepper(self.recurrent, embedded), []
        states, fed = unstack_state(state[:-1]), state[-1][0]
        for t, token in enumerate(embedded.unbind(1)):
            output, states = stepper.step(t, fed, states)
            context, weights = self.attention(output.unsqueeze(1), memory)
            context = context.squeeze(1)
            fed = self.readout(torch.cat([output, context, token], -1))
            steps.append((output, context, weights.squeeze(1)))
        output, context, weights = (torch.stack(each, 1) for each in zip(*steps, strict=True))
        return output, context, (*as_tuple(stack_state(states)), fed.unsqueeze(0)), weights


class InputFeedingDecoder(LuongDecoder):
    """Decoder with attention after the recurrent layers and input feeding.

    Source: Luong et al. (2015), https://arxiv.org/abs/1508.04025, sections 3.1 and 3.3.
    """

    input_feeding = True


def _split_layers(state: State) -> tuple[State, State]:
    """Split a state into that of the first layer and that of the others."""
    return map_state(state, lambda part: part[:1]), map_state(state, lambda part: part[1:])


def _join_layers(lower: State, upper: State) -> State:
    return from_tuple(
        torch.cat(pair) for pair in zip(as_tuple(lower), as_tuple(upper), strict=True)
    )
