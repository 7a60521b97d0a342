"""An encoder, a decoder, and the bridge between their states."""

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
    """Make the decoder's first states from the encoder's last ones.

    Both directions of an encoder's layer count as one state. A decoder that is deeper takes the
    encoder's top layer for its further layers; one that is flatter takes the top ones. A decoder
    that keeps more than the encoder gives makes it of the same.

    Args:
        kind: `dense` (a linear layer and tanh for each state), `copy` (unchanged, for equal sizes
            of the same layer) or `zeros`.
        encoder: Where the states come from.
        decoder: Where they go.

    Raises:
        ValueError: If the kind is unknown, or `copy` does not fit.
    """

    KINDS = ("dense", "copy", "zeros")

    def __init__(self, kind: str, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        if kind not in self.KINDS:
            raise ValueError(f"bridge must be one of {', '.join(self.KINDS)}, got {kind!r}")
        source, size = encoder.output_size, decoder.hidden_dim
        if kind == "copy" and not self.passes(encoder, decoder):
            wish = "needs encoder and decoder of one layer and width"
            raise ValueError(f"bridge=copy {wish}, got {source} and {size} features: try dense")
        self.kind, self.layers, self.size = kind, decoder.num_layers, size
        self.directions = 2 if encoder.recurrent.bidirectional else 1
        self.parts = decoder.num_states
        maps = [nn.Linear(source, size) for _ in range(self.parts)] if kind == "dense" else []
        self.maps = nn.ModuleList(maps)

    @staticmethod
    def passes(encoder: Encoder, decoder: Decoder) -> bool:
        """Tell whether the decoder can take the encoder's states as they are."""
        same = isinstance(encoder.recurrent, decoder.layer_class)
        return same and encoder.output_size == decoder.hidden_dim

    def forward(self, state: State) -> State:
        """Map `(layers * directions, batch, hidden)`, or a pair, to the decoder's shape."""
        given = as_tuple(state)
        return from_tuple(self._one(i, given[min(i, len(given) - 1)]) for i in range(self.parts))

    def _one(self, number: int, part: Tensor) -> Tensor:
        if self.kind == "zeros":
            return part.new_zeros(self.layers, part.size(1), self.size)
        joined = part.unflatten(0, (-1, self.directions)).transpose(1, 2).flatten(2)
        depth = joined.size(0)
        first = max(0, depth - self.layers)
        layers = [joined[min(first + i, depth - 1)] for i in range(self.layers)]
        chosen = torch.stack(layers)
        return torch.tanh(self.maps[number](chosen)) if self.kind == "dense" else chosen


class Seq2Seq(nn.Module):
    """Write a target word by word from a source that was read before.

    Args:
        encoder: Reads the source.
        decoder: Writes the target.
        bridge: `dense`, `copy` or `zeros`, see `Bridge`; None: `copy` where that is possible, else
            `dense`.

    Raises:
        ValueError: If both do not fit together.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, *, bridge: str | None = None) -> None:
        super().__init__()
        size = getattr(decoder, "memory_size", encoder.output_size)
        if size != encoder.output_size:
            raise ValueError(f"memory_size is {size}, the encoder gives {encoder.output_size}")
        self.encoder, self.decoder = encoder, decoder
        kind = bridge or ("copy" if Bridge.passes(encoder, decoder) else "dense")
        self.bridge = Bridge(kind, encoder, decoder)

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

    def encode(self, src: Tensor, lengths: Tensor | None = None) -> tuple[Memory | None, State]:
        """Read sources.

        Args:
            src: Word ids, `(batch, src_len)`.
            lengths: Real words of each row, `(batch,)` on the CPU; None: all rows are full.

        Returns:
            The memory as the decoder wants it, None if it never looks back, and the state before
            its first step.
        """
        memory, state = self.encoder(src, lengths)
        mask = None if lengths is None else lengths_to_mask(lengths, src.size(1), src.device)
        return self.decoder.prepare(memory, mask), self.decoder.start(self.bridge(state))

    def forward(
        self,
        src: Tensor,
        trg: Tensor,
        teacher_forcing_ratio: float = 0.5,
        src_lengths: Tensor | None = None,
    ) -> Tensor:
        """Score every word of a target, see `logits`.

        Returns:
            Unnormalized scores, `(batch, trg_len, vocab)`; the first row, for the word that starts
            a target, is zero.
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
        """Score every word of a target after the first.

        Args:
            src: Word ids, `(batch, src_len)`.
            trg: Word ids, `(batch, trg_len)`, of at least two words.
            teacher_forcing_ratio: How likely the decoder reads the true last word and not its own
                best guess, drawn for each row and step. At one nothing is drawn, and all steps of
                a layer may be one call.
            src_lengths: Real words of each source, `(batch,)` on the CPU; None: rows are full.

        Returns:
            Unnormalized scores of the words after each of the first `trg_len - 1`,
            `(batch, trg_len - 1, vocab)`.

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
        """Take the cross-entropy of every word after the first, padding left out; see `logits`.

        Args:
            src: Word ids, `(batch, src_len)`.
            trg: Word ids, `(batch, trg_len)`.
            teacher_forcing_ratio: As in `logits`.
            src_lengths: Real words of each source, `(batch,)` on the CPU; None: rows are full.
            label_smoothing: Share of each target that is spread evenly over the vocabulary.

        Returns:
            The mean over the real words, a scalar.
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
        """What all words after the first are scored from."""
        if not 0 <= ratio <= 1:
            raise ValueError(f"teacher_forcing_ratio must be 0 to 1, got {ratio}")
        memory, state = self.encode(src, src_lengths)
        if ratio == 1:
            return self.decoder.features(trg[:, :-1], state, memory)[0]
        words, steps = trg[:, 0], []
        for true in trg[:, 1:].unbind(1):
            features, state, _ = self.decoder.features(words.unsqueeze(1), state, memory)
            steps.append(features)
            forced = torch.rand(len(true), device=true.device) < ratio
            guess = self.decoder.fc(features.detach()).squeeze(1).argmax(-1)
            words = torch.where(forced, true, guess)
        return torch.cat(steps, 1)
