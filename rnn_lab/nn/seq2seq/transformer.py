"""Sequence-to-sequence Transformer, decoded step by step with cached keys and values."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnn_lab.nn.functional.linear import Linear
from rnn_lab.nn.functional.padding import lengths_to_mask
from rnn_lab.nn.functional.precision import at_least_float32
from rnn_lab.nn.seq2seq.dropouts import NO_DROPOUT, Seq2SeqDropouts
from rnn_lab.nn.seq2seq.embeddings import Embeddings
from rnn_lab.nn.seq2seq.model import BaseSeq2Seq
from rnn_lab.nn.transformer import PositionalEncoding, TransformerEncoder, TransformerOptions

Caches = tuple[Tensor, ...]  # of each layer keys and values of the prefix, (2, rows, steps, size)
TransformerMemory = tuple[tuple[tuple[Tensor, Tensor], ...], Tensor | None]


class SourceEncoder(nn.Module):
    """Embed and encode source tokens.

    Args:
        vocab_size: Number of tokens in the source vocabulary.
        size: Size of an embedding, and features of each layer.
        num_layers: Number of stacked layers.
        options: Options of the layers.
        dropouts: Dropout probabilities; all but `output` are used here.
    """

    def __init__(
        self,
        vocab_size: int,
        size: int,
        num_layers: int,
        options: TransformerOptions,
        dropouts: Seq2SeqDropouts = NO_DROPOUT,
    ) -> None:
        super().__init__()
        self.embedding = Embeddings(vocab_size, size, dropouts=dropouts)
        self.layers = TransformerEncoder(size, num_layers, options, dropouts.layer)
        self.output_dropout = dropouts.feature_dropout(dropouts.encoder_output)

    def forward(self, src: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Encode `(batch, src_len)` as `(batch, src_len, size)`."""
        embedded = self.embedding(src) * math.sqrt(self.embedding.embedding_dim)
        encoded: Tensor = self.output_dropout(self.layers(embedded, lengths))
        return encoded


class CachedDecoderLayer(nn.TransformerDecoderLayer):
    """A decoder layer of torch whose keys and values of earlier steps are not computed again."""

    def run(
        self,
        x: Tensor,
        cache: Tensor,
        memory: tuple[Tensor, Tensor],
        mask: Tensor | None,
        need_weights: bool,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Run the layer over new steps.

        Args:
            x: Input of the new steps, `(rows, steps, size)`.
            cache: Keys and values of the steps before them, `(2, rows, steps before, size)`.
            memory: Keys and values of the source, see `project`.
            mask: True on real tokens of the source, `(batch, src_len)`.
            need_weights: Whether to return attention weights.

        Returns:
            The output, the cache with the new steps, and the attention weights over the source,
            the mean over the heads, `(rows, steps, src_len)`, or None.
        """
        if self.norm_first:
            attended, cache = self._attend_prefix(self.norm1(x), cache)
            x = x + self.dropout1(attended)
            attended, weights = self._attend_source(self.norm2(x), memory, mask, need_weights)
            x = x + self.dropout2(attended)
            return x + self._ff_block(self.norm3(x)), cache, weights
        attended, cache = self._attend_prefix(x, cache)
        x = self.norm1(x + self.dropout1(attended))
        attended, weights = self._attend_source(x, memory, mask, need_weights)
        x = self.norm2(x + self.dropout2(attended))
        return self.norm3(x + self._ff_block(x)), cache, weights

    def project(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Compute keys and values of the source, `(batch, src_len, size)` each."""
        attention, size = self.multihead_attn, memory.size(2)
        weight, bias = attention.in_proj_weight[size:], attention.in_proj_bias[size:]
        keys, values = F.linear(memory, weight, bias).chunk(2, -1)
        return keys, values

    def _attend_prefix(self, x: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        attention, steps = self.self_attn, x.size(1)
        projected = F.linear(x, attention.in_proj_weight, attention.in_proj_bias)
        query, *new = projected.chunk(3, -1)
        cache = torch.cat([cache.to(x.dtype), torch.stack(new).to(x.dtype)], 2)
        time = cache.size(2)
        causal = torch.ones(steps, time, dtype=torch.bool, device=x.device).tril(time - steps)
        attended = self._attend(attention, query, cache[0], cache[1], causal)
        return attention.out_proj(attended), cache

    def _attend_source(
        self, x: Tensor, memory: tuple[Tensor, Tensor], mask: Tensor | None, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        attention, (keys, values), size = self.multihead_attn, memory, x.size(2)
        query = F.linear(x, attention.in_proj_weight[:size], attention.in_proj_bias[:size])
        query = query.reshape(len(keys), -1, size)  # adjacent rows share a source
        real = None if mask is None else mask[:, None, None]
        attended = self._attend(attention, query, keys, values, real).view_as(x)
        weights = self._weights(attention, query, keys, real) if need_weights else None
        if weights is not None:
            weights = weights.reshape(*x.shape[:2], -1)
        return attention.out_proj(attended), weights

    def _attend(
        self,
        attention: nn.MultiheadAttention,
        query: Tensor,
        keys: Tensor,
        values: Tensor,
        mask: Tensor | None,
    ) -> Tensor:
        query, keys, values = (self._split(each, attention) for each in (query, keys, values))
        dropout = attention.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(
            query, keys.to(query), values.to(query), mask, dropout
        )
        return attended.transpose(1, 2).flatten(2)

    def _weights(
        self, attention: nn.MultiheadAttention, query: Tensor, keys: Tensor, mask: Tensor | None
    ) -> Tensor:
        """Compute attention weights, the mean over the heads, `(batch, queries, src_len)`."""
        query, keys = self._split(query, attention), self._split(keys, attention)
        scores = at_least_float32(query @ keys.transpose(2, 3)) / math.sqrt(attention.head_dim)
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        return scores.softmax(-1).mean(1)

    @staticmethod
    def _split(x: Tensor, attention: nn.MultiheadAttention) -> Tensor:
        """Split features among the heads: `(batch, time, size)` to `(batch, heads, time, ...)`."""
        return x.unflatten(2, (attention.num_heads, -1)).transpose(1, 2)


class TransformerDecoder(nn.Module):
    """Decode a target with self-attention over its prefix and attention over the source.

    The state holds keys and values of the prefix, so that a step costs no more than its own.

    Source: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, section 3.

    Args:
        vocab_size: Number of tokens in the target vocabulary.
        size: Size of an embedding, and features of each layer.
        num_layers: Number of stacked layers.
        options: Options of the layers.
        dropouts: Dropout probabilities; all but `encoder_output` are used here.
    """

    def __init__(
        self,
        vocab_size: int,
        size: int,
        num_layers: int,
        options: TransformerOptions,
        dropouts: Seq2SeqDropouts = NO_DROPOUT,
    ) -> None:
        super().__init__()
        options.check_size(size)
        self.embedding = Embeddings(vocab_size, size, dropouts=dropouts)
        self.positions = PositionalEncoding(size, options, dropouts.layer)
        layers = (
            CachedDecoderLayer(
                size,
                options.num_heads,
                options.feedforward_dim or 4 * size,
                dropouts.layer,
                batch_first=True,
                norm_first=options.norm_first,
            )
            for _ in range(num_layers)
        )
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(size) if options.norm_first else nn.Identity()
        self.output_dropout = dropouts.feature_dropout(dropouts.output)
        self.fc = Linear(size, vocab_size)

    def prepare(self, memory: Tensor, mask: Tensor | None = None) -> TransformerMemory:
        """Compute the keys and values of the source once for all steps.

        Args:
            memory: Output of the encoder, `(batch, src_len, size)`.
            mask: True on real tokens of the source, `(batch, src_len)`.
        """
        return tuple(layer.project(memory) for layer in self._decoder_layers()), mask

    def start(self, memory: Tensor) -> Caches:
        """Return the state before the first step: no keys and values."""
        empty = memory.new_zeros(2, len(memory), 0, memory.size(2))
        return tuple(empty for _ in self.layers)

    def forward(
        self, tokens: Tensor, state: Caches, memory: TransformerMemory
    ) -> tuple[Tensor, Caches, Tensor | None]:
        """Compute the logits of the next token at each step.

        Args:
            tokens: Token ids, `(rows, steps)`: all steps in training, one in decoding.
            state: The state before the first step; the initial one is the result of `start`.
            memory: The result of `prepare`. `rows` may be a multiple of `batch`, as in beam
                search: adjacent rows then share a row of the memory.

        Returns:
            Logits `(rows, steps, vocab_size)`, the state after the last step, and the attention
            weights of the last layer, the mean over its heads, `(rows, steps, src_len)`; None in
            training.
        """
        features, state, weights = self.features(tokens, state, memory)
        return self.fc(features), state, weights

    def features(
        self, tokens: Tensor, state: Caches, memory: TransformerMemory
    ) -> tuple[Tensor, Caches, Tensor | None]:
        """Compute the input of `fc`, `(rows, steps, size)`; otherwise as `forward`."""
        sources, mask = memory
        x = self.embedding(tokens) * math.sqrt(self.embedding.embedding_dim)
        x = self.positions(x, state[0].size(2))
        caches: list[Tensor] = []
        weights = None
        for layer, cache, source in zip(self._decoder_layers(), state, sources, strict=True):
            is_last = len(caches) == len(sources) - 1
            need_weights = is_last and not self.training
            x, cache, weights = layer.run(x, cache, source, mask, need_weights)
            caches.append(cache)
        return self.output_dropout(self.norm(x)), tuple(caches), weights

    def _decoder_layers(self) -> list[CachedDecoderLayer]:
        return [layer for layer in self.layers if isinstance(layer, CachedDecoderLayer)]


class TransformerSeq2Seq(BaseSeq2Seq):
    """Sequence-to-sequence Transformer.

    Args:
        encoder: Encodes the source.
        decoder: Predicts the target.
    """

    def __init__(self, encoder: SourceEncoder, decoder: TransformerDecoder) -> None:
        super().__init__(encoder, decoder)

    def encode(
        self, src: Tensor, lengths: Tensor | None = None
    ) -> tuple[TransformerMemory, Caches]:
        """Encode sources, see `BaseSeq2Seq`."""
        memory = self.encoder(src, lengths)
        mask = None if lengths is None else lengths_to_mask(lengths, src.size(1), src.device)
        return self.decoder.prepare(memory, mask), self.decoder.start(memory)
