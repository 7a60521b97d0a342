"""Decoders of sequence-to-sequence models, which differ in where they look at the source.

`Decoder` never looks, `AttentionDecoder` before its recurrent layers (the state of the last step
asks), `GNMTDecoder` between them (the first layer asks, the others read the answer), `LuongDecoder`
after them.
"""

from typing import Any

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
from rnn_lab.nn.seq2seq.dropouts import NO_DROPOUT, Seq2SeqDropouts
from rnn_lab.nn.seq2seq.embeddings import Embeddings
from rnn_lab.nn.seq2seq.stepper import Stepper

DECODER_LAYERS: dict[str, type[FusedRNN]] = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}


class Decoder(nn.Module):
    """Write a target from a start state alone, without looking back at the source.

    Args:
        output_dim: Words in the target vocabulary.
        embedding_dim: Features of a word.
        hidden_dim: Features of a step.
        num_layers: Recurrent layers on top of each other.
        layer: `RNN`, `LSTM` or `GRU`.
        readout_dim: Features of a layer between all that is known at a step (output, context,
            word) and the scores of the words; None: scores straight from the output.
        layer_norm: If True, apply layer normalization to the embeddings and the readout.
        dropouts: Dropout probabilities; all but `encoder_output` are used here.
    """

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
        self.embedding = Embeddings(
            output_dim, embedding_dim, dropouts=dropouts, layer_norm=layer_norm
        )
        self._build(self.layer_class, dropouts.layer if num_layers > 1 else 0.0)
        for net in self.children():
            if isinstance(net, FusedRNN):
                initialize(net)
        self.readout: Readout | None = None
        if readout_dim is not None:
            self.readout = Readout(self.known_size(), readout_dim, layer_norm)
        self.output_dropout = dropouts.feature_dropout(dropouts.output)
        self.fc = Linear(readout_dim or hidden_dim, output_dim)

    def _build(self, layer: type[FusedRNN], dropout: float) -> None:
        """Make the recurrent layers."""
        size = self.embedding.embedding_dim
        self.recurrent = layer(size, self.hidden_dim, self.num_layers, dropout)

    @property
    def num_states(self) -> int:
        """Tensors in the state of its recurrent layers."""
        return self.layer_class.num_states

    def known_size(self) -> int:
        """Features of all that is known at a step: output, context, word."""
        return self.hidden_dim + self.embedding.embedding_dim

    def prepare(self, memory: Tensor, mask: Tensor | None = None) -> Memory | None:
        """Do once for a source what all steps need; None if no step looks at it."""
        return None

    def start(self, state: State) -> State:
        """Make the state before the first step from the states of the recurrent layers."""
        return state

    def forward(
        self,
        tokens: Tensor,
        state: State,
        memory: Tensor | Memory | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, State, Tensor | None]:
        """Score the word after each of some words.

        Args:
            tokens: Word ids, `(rows, steps)`: all of them in training, one step in decoding.
            state: What came before: of the first step what `start` gave.
            memory: The encoder's output, `(batch, src_len, features)`, or what `prepare` made of
                it. There may be several rows for each of the memory's, neighbors, as in a beam.
            mask: True on real words of the source, `(batch, src_len)`.

        Returns:
            Unnormalized scores `(rows, steps, output_dim)`, the state after the last step, and
            what was looked at, `(rows, steps, src_len)`; None for a decoder that never looks.
        """
        if isinstance(memory, Tensor):
            memory = self.prepare(memory, mask)
        features, state, weights = self.features(tokens, state, memory)
        return self.fc(features), state, weights

    def features(
        self, tokens: Tensor, state: State, memory: Memory | None
    ) -> tuple[Tensor, State, Tensor | None]:
        """Give what `fc` scores words from, `(rows, steps, fc.in_features)`; else as `forward`."""
        words = self.embedding(tokens)
        output, context, state, weights = self.read(words, state, memory)
        known = output
        if self.readout is not None:
            parts = [output, words] if context is None else [output, context, words]
            known = self.readout(torch.cat(parts, -1))
        return self.output_dropout(known), state, weights

    def read(
        self, words: Tensor, state: State, memory: Memory | None
    ) -> tuple[Tensor, Tensor | None, State, Tensor | None]:
        """Run the recurrent layers, and attention: output, context, state, weights of all steps."""
        output, state = self.recurrent(words, None, state)
        return output, None, state, None


class Readout(nn.Module):
    """One layer over all that is known at a step.

    Args:
        input_size: Features of what is known.
        output_size: Features of the result.
        layer_norm: Whether it is normalized before the nonlinearity.
    """

    def __init__(self, input_size: int, output_size: int, layer_norm: bool = False) -> None:
        super().__init__()
        self.linear = Linear(input_size, output_size)
        self.norm = nn.LayerNorm(output_size) if layer_norm else nn.Identity()

    def forward(self, known: Tensor) -> Tensor:
        """Map `(..., input_size)` to `(..., output_size)`, between minus one and one."""
        return torch.tanh(self.norm(self.linear(known)))


class AttentiveDecoder(Decoder):
    """What decoders that look at the source share.

    Args:
        output_dim: See `Decoder`, as all that is not named here.
        embedding_dim: Features of a word.
        hidden_dim: Features of a step, and width of the attention.
        num_layers: Recurrent layers on top of each other.
        memory_size: Features of a step of the source; None: `hidden_dim`.
        attention: `additive`, `scaled_dot` or `general`.
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

    def known_size(self) -> int:
        return super().known_size() + self.memory_size

    def prepare(self, memory: Tensor, mask: Tensor | None = None) -> Memory:
        """Project the memory once for all steps, see `AttentionLayer.prepare`."""
        return self.attention.prepare(memory, mask)


class AttentionDecoder(AttentiveDecoder):
    """Look at the source before each step: the last state asks, the answer joins the input.

    Source: Bahdanau et al. (2015), https://arxiv.org/abs/1409.0473, section 3.1.
    """

    def _build(self, layer: type[FusedRNN], dropout: float) -> None:
        size = self.embedding.embedding_dim + self.memory_size
        self.recurrent = layer(size, self.hidden_dim, self.num_layers, dropout)

    def read(
        self, words: Tensor, state: State, memory: Memory | None
    ) -> tuple[Tensor, Tensor | None, State, Tensor | None]:
        stepper, states = Stepper(self.recurrent, words), unstack_state(state)
        found = []
        for t in range(words.size(1)):
            context, weights = self.attention(states[-1][0].unsqueeze(1), memory)
            output, states = stepper.step(t, context.squeeze(1), states)
            found.append((output, context.squeeze(1), weights.squeeze(1)))
        output, context, weights = (torch.stack(steps, 1) for steps in zip(*found, strict=True))
        return output, context, stack_state(states), weights


class GNMTDecoder(AttentiveDecoder):
    """Look at the source between layers: the first one asks, the others read word and answer.

    No answer is fed back to the layer that asks, so that all steps of each layer are one call.

    Source: Wu et al. (2016), https://arxiv.org/abs/1609.08144, section 3, there with the context
    of the step before fed to the first layer.
    """

    def _build(self, layer: type[FusedRNN], dropout: float) -> None:
        if self.num_layers < 2:
            raise ValueError("attention between layers needs num_layers of at least 2")
        size = self.hidden_dim
        self.lower = layer(self.embedding.embedding_dim, size)
        upper = self.num_layers - 1
        self.upper = layer(size + self.memory_size, size, upper, dropout if upper > 1 else 0.0)
        self.dropout = nn.Dropout(dropout)

    def read(
        self, words: Tensor, state: State, memory: Memory | None
    ) -> tuple[Tensor, Tensor | None, State, Tensor | None]:
        low, high = _cut(state)
        asked, low = self.lower(words, None, low)
        context, weights = self.attention(asked, memory)
        output, high = self.upper(self.dropout(torch.cat([asked, context], -1)), None, high)
        return output, context, _joined(low, high), weights


class LuongDecoder(AttentiveDecoder):
    """Look at the source after the recurrent layers; with input feeding the answer is read next.

    Source: Luong et al. (2015), https://arxiv.org/abs/1508.04025, sections 3.1 and 3.3.

    Args:
        output_dim: See `Decoder`, as all that is not named here.
        embedding_dim: Features of a word.
        hidden_dim: Features of a step, and width of the attention.
        num_layers: Recurrent layers on top of each other.
        input_feeding: Whether the vector that the words are scored from joins the next input.
        readout_dim: Features of that vector; None: `hidden_dim`.
    """

    def __init__(
        self,
        output_dim: int,
        embedding_dim: int,
        hidden_dim: int,
        num_layers: int,
        *,
        input_feeding: bool = False,
        readout_dim: int | None = None,
        **options: Any,
    ) -> None:
        self.fed = (readout_dim or hidden_dim) if input_feeding else 0
        super().__init__(
            output_dim,
            embedding_dim,
            hidden_dim,
            num_layers,
            readout_dim=readout_dim or hidden_dim,
            **options,
        )

    def _build(self, layer: type[FusedRNN], dropout: float) -> None:
        size = self.embedding.embedding_dim + self.fed
        self.recurrent = layer(size, self.hidden_dim, self.num_layers, dropout)

    def start(self, state: State) -> State:
        """Add that nothing was fed yet, with input feeding."""
        if not self.fed:
            return state
        before = as_tuple(state)
        return (*before, before[0].new_zeros(1, before[0].size(1), self.fed))

    def read(
        self, words: Tensor, state: State, memory: Memory | None
    ) -> tuple[Tensor, Tensor | None, State, Tensor | None]:
        if self.fed:
            return self._read_fed(words, state, memory)
        output, state = self.recurrent(words, None, state)
        context, weights = self.attention(output, memory)
        return output, context, state, weights

    def _read_fed(
        self, words: Tensor, state: State, memory: Memory | None
    ) -> tuple[Tensor, Tensor | None, State, Tensor | None]:
        """Step by step: what each word is scored from is read by the next step."""
        assert self.readout is not None  # the constructor makes one
        stepper, found = Stepper(self.recurrent, words), []
        states, fed = unstack_state(state[:-1]), state[-1][0]
        for t, word in enumerate(words.unbind(1)):
            output, states = stepper.step(t, fed, states)
            context, weights = self.attention(output.unsqueeze(1), memory)
            context = context.squeeze(1)
            fed = self.readout(torch.cat([output, context, word], -1))
            found.append((output, context, weights.squeeze(1)))
        output, context, weights = (torch.stack(steps, 1) for steps in zip(*found, strict=True))
        return output, context, (*as_tuple(stack_state(states)), fed.unsqueeze(0)), weights


def _cut(state: State) -> tuple[State, State]:
    """The state of the first layer and that of the others."""
    return map_state(state, lambda part: part[:1]), map_state(state, lambda part: part[1:])


def _joined(low: State, high: State) -> State:
    return from_tuple(torch.cat(both) for both in zip(as_tuple(low), as_tuple(high), strict=True))
