"""An encoder, a decoder, and the bridge between their states."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from rnn_lab.nn.functional.cross_entropy import linear_cross_entropy
from rnn_lab.nn.functional.padding import lengths_to_mask
from rnn_lab.nn.functional.state import State, as_tuple, from_tuple
from rnn_lab.nn.seq2seq.attention import Memory
from rnn_lab.nn.seq2seq.decoders import Decoder
from rnn_lab.nn.seq2seq.encoder import Encoder
from rnn_lab.special_tokens import PAD_ID


class Bridge(nn.Module):
    """Compute the decoder's initial state from the encoder's final state.

    The states of both directions of an encoder layer are concatenated. A deeper decoder reuses
    the encoder's top layer for its further layers; a shallower one takes the top layers. A decoder
    with more state tensors than the encoder computes the additional ones from the last of them.

    Args:
        kind: `dense` (a linear layer and tanh for each state), `copy` (unchanged, for equal sizes
            of the same layer) or `zeros`.
        encoder: The encoder.
        decoder: The decoder.

    Raises:
        ValueError: If the kind is unknown, or `copy` does not fit.
    """

    KINDS = ("dense", "copy", "zeros")

    def __init__(self, kind: str, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        if kind not in self.KINDS:
            raise ValueError(f"bridge must be one of {', '.join(self.KINDS)}, got {kind!r}")
        source, size = encoder.output_size, decoder.hidden_dim
        if kind == "copy" and not self.can_copy(encoder, decoder):
            raise ValueError(
                "bridge=copy needs encoder and decoder of the same layer and size, got "
                f"{source} and {size} features: try bridge=dense"
            )
        self.kind, self.layers, self.size = kind, decoder.num_layers, size
        self.directions = 2 if encoder.recurrent.bidirectional else 1
        self.parts = decoder.num_states
        maps = [nn.Linear(source, size) for _ in range(self.parts)] if kind == "dense" else []
        self.maps = nn.ModuleList(maps)

    @staticmethod
    def can_copy(encoder: Encoder, decoder: Decoder) -> bool:
        """Return whether the decoder can start from the encoder's unchanged state."""
        same = isinstance(encoder.recurrent, decoder.layer_class)
        return same and encoder.output_size == decoder.hidden_dim

    def forward(self, state: State) -> State:
        """Map `(layers * directions, batch, hidden)`, or a pair, to the shape of the decoder."""
        source = as_tuple(state)
        return from_tuple(self._map(i, source[min(i, len(source) - 1)]) for i in range(self.parts))

    def _map(self, index: int, part: Tensor) -> Tensor:
        if self.kind == "zeros":
            return part.new_zeros(self.layers, part.size(1), self.size)
        joined = part.unflatten(0, (-1, self.directions)).transpose(1, 2).flatten(2)
        depth = joined.size(0)
        first = max(0, depth - self.layers)
        layers = [joined[min(first + i, depth - 1)] for i in range(self.layers)]
        stacked = torch.stack(layers)
        if self.kind != "dense":
            return stacked
        linear: Any = self.maps[index]
        return torch.tanh(linear(stacked.to(linear.weight.dtype)))


class BaseSeq2Seq(nn.Module, ABC):
    """What all sequence-to-sequence models share: teacher forcing, loss and tied embeddings.

    Args:
        encoder: Encodes the source; its token embeddings are `embedding`.
        decoder: Predicts the target, with `embedding`, `features` and the output layer `fc` of a
            `Decoder`.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder: Any = encoder
        self.decoder: Any = decoder

    @abstractmethod
    def encode(self, src: Tensor, lengths: Tensor | None = None) -> tuple[Any, Any]:
        """Encode sources.

        Args:
            src: Token ids, `(batch, src_len)`.
            lengths: Real tokens of each source, `(batch,)` on the CPU; None if every row is full.

        Returns:
            The memory prepared for the decoder, None for a decoder without attention, and the
            decoder's initial state.
        """

    def tie_embeddings(self, encoder: bool = False) -> None:
        """Share the weights of the decoder's embeddings with its output layer.

        Source: Press & Wolf (2017), https://arxiv.org/abs/1608.05859.

        Args:
            encoder: If True, share them with the encoder's embeddings too.

        Raises:
            ValueError: If sizes differ.
        """
        table, scores = self.decoder.embedding.table, self.decoder.fc
        if scores.weight.shape != table.weight.shape:
            raise ValueError(
                f"tied embeddings need an output layer of their size, {table.embedding_dim}, got "
                f"{scores.in_features} input features: set readout_dim"
            )
        if encoder and self.encoder.embedding.table.weight.shape != table.weight.shape:
            raise ValueError("tied embeddings of encoder and decoder need a joint vocabulary")
        scores.weight = table.weight
        if encoder:
            self.encoder.embedding.table.weight = table.weight

    def forward(
        self,
        src: Tensor,
        trg: Tensor,
        teacher_forcing_ratio: float = 0.5,
        src_lengths: Tensor | None = None,
    ) -> Tensor:
        """Compute the logits of every target token, see `logits`.

        Returns:
            Logits, `(batch, trg_len, vocab)`; the first row, for the start token, is zero.
        """
        logits = self.logits(src, trg, teacher_forcing_ratio, src_lengths)
        return torch.cat([torch.zeros_like(logits[:, :1]), logits], 1)

    def logits(
        self,
        src: Tensor,
        trg: Tensor,
        teacher_forcing_ratio: float = 1.0,
        src_lengths: Tensor | None = None,
    ) -> Tensor:
        """Compute the logits of every target token after the first.

        Args:
            src: Token ids, `(batch, src_len)`.
            trg: Token ids, `(batch, trg_len)`, with at least two tokens.
            teacher_forcing_ratio: Probability that the decoder reads the true previous token
                instead of its own prediction, drawn for each row and step. At one nothing is
                drawn, and all steps of a layer may be one call.
            src_lengths: Real tokens of each source, `(batch,)` on the CPU; None if every row is
                full.

        Returns:
            Logits, `(batch, trg_len - 1, vocab)`.

        Raises:
            ValueError: If the ratio is not between 0 and 1.
        """
        return self.decoder.fc(self._features(src, trg, teacher_forcing_ratio, src_lengths))

    def loss(
        self,
        src: Tensor,
        trg: Tensor,
        teacher_forcing_ratio: float = 1.0,
        src_lengths: Tensor | None = None,
        label_smoothing: float = 0.0,
    ) -> Tensor:
        """Compute the cross-entropy of every token after the first, ignoring padding.

        Args:
            src: Token ids, `(batch, src_len)`.
            trg: Token ids, `(batch, trg_len)`.
            teacher_forcing_ratio: As in `logits`.
            src_lengths: Real tokens of each source, `(batch,)` on the CPU; None if every row is
                full.
            label_smoothing: Label smoothing epsilon.

        Returns:
            The mean over the real tokens, a scalar.
        """
        features = self._features(src, trg, teacher_forcing_ratio, src_lengths)
        fc = self.decoder.fc
        return linear_cross_entropy(
            features,
            fc.weight,
            fc.bias,
            trg[:, 1:],
            ignore_index=PAD_ID,
            label_smoothing=label_smoothing,
        )

    def _features(
        self, src: Tensor, trg: Tensor, ratio: float, src_lengths: Tensor | None
    ) -> Tensor:
        """Compute the input of the output layer for every token after the first."""
        if not 0 <= ratio <= 1:
            raise ValueError(f"teacher_forcing_ratio must be from 0 to 1, got {ratio}")
        memory, state = self.encode(src, src_lengths)
        if ratio == 1:
            return self.decoder.features(trg[:, :-1], state, memory)[0]
        tokens, steps = trg[:, 0], []
        for target in trg[:, 1:].unbind(1):
            features, state, _ = self.decoder.features(tokens.unsqueeze(1), state, memory)
            steps.append(features)
            forced = torch.rand(len(target), device=target.device) < ratio
            predicted = self.decoder.fc(features.detach()).squeeze(1).argmax(-1)
            tokens = torch.where(forced, target, predicted)
        return torch.cat(steps, 1)


class Seq2Seq(BaseSeq2Seq):
    """Sequence-to-sequence model: an encoder, a bridge and a decoder.

    Args:
        encoder: Encodes the source.
        decoder: Predicts the target.
        bridge: `dense`, `copy` or `zeros`, see `Bridge`; None: `copy` where that is possible, else
            `dense`.

    Raises:
        ValueError: If the sizes of encoder and decoder do not match.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, *, bridge: str | None = None) -> None:
        super().__init__(encoder, decoder)
        size = getattr(decoder, "memory_size", encoder.output_size)
        if size != encoder.output_size:
            raise ValueError(
                f"the decoder's memory_size is {size}, but the encoder's output_size is "
                f"{encoder.output_size}"
            )
        kind = bridge or ("copy" if Bridge.can_copy(encoder, decoder) else "dense")
        self.bridge = Bridge(kind, encoder, decoder)

    def encode(self, src: Tensor, lengths: Tensor | None = None) -> tuple[Memory | None, State]:
        """Encode sources, see `BaseSeq2Seq`."""
        memory, state = self.encoder(src, lengths)
        mask = None if lengths is None else lengths_to_mask(lengths, src.size(1), src.device)
        return self.decoder.prepare(memory, mask), self.decoder.start(self.bridge(state))
