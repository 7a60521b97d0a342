"""Dropout of words, of embeddings, and of the same features at all time steps."""

import torch
from torch import Tensor, nn


class WordDropout(nn.Module):
    """Replace tokens by the unknown token at random in training.

    Source: Iyyer et al. (2015), https://aclanthology.org/P15-1162, who remove the words instead.

    Args:
        p: Probability of replacing a token.
        unk_id: Id of the unknown token.
        pad_id: Id of the padding token, which is never replaced.
    """

    def __init__(self, p: float, unk_id: int = 1, pad_id: int = 0) -> None:
        super().__init__()
        self.p, self.unk_id, self.pad_id = _check_probability(p), unk_id, pad_id

    def forward(self, tokens: Tensor) -> Tensor:
        """Replace each real token independently; token ids `(batch, time)` in and out."""
        if not self.training or self.p == 0:
            return tokens
        dropped = tokens.new_empty(tokens.shape).bernoulli_(self.p).bool()
        return tokens.masked_fill(dropped & (tokens != self.pad_id), self.unk_id)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class EmbeddingDropout(nn.Module):
    """Drop rows of the embedding matrix in training: all occurrences of a word in a batch.

    Source: Gal & Ghahramani (2016), https://arxiv.org/abs/1512.05287, section 4.2.

    Args:
        p: Probability of dropping a word; the others are scaled by `1 / (1 - p)`.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = _check_probability(p)

    def forward(self, embedding: nn.Embedding, tokens: Tensor) -> Tensor:
        """Embed tokens; dropped words become zeros.

        Args:
            embedding: Embedding of the whole vocabulary.
            tokens: Token ids, `(batch, time)`.

        Returns:
            Embeddings, `(batch, time, embedding_dim)`.
        """
        embedded = embedding(tokens)
        if not self.training or self.p == 0:
            return embedded
        scale = embedded.new_empty(embedding.num_embeddings).bernoulli_(1 - self.p) / (1 - self.p)
        return embedded * scale[tokens].unsqueeze(-1)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class VariationalDropout(nn.Module):
    """Drop the same features at all time steps of a sequence (also called locked dropout).

    Source: Gal & Ghahramani (2016), https://arxiv.org/abs/1512.05287.

    Args:
        p: Probability of dropping a feature; the others are scaled by `1 / (1 - p)`.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = _check_probability(p)

    def forward(self, x: Tensor) -> Tensor:
        """Drop features of `(batch, time, features)`, see `variational_dropout`."""
        return variational_dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def variational_dropout(x: Tensor, p: float, training: bool, time_dim: int = 1) -> Tensor:
    """Drop the same features at all time steps, in training only.

    The mask is drawn for each sequence and each call.

    Args:
        x: `(batch, time, features)`, or `(time, batch, features)` with `time_dim=0`.
        p: Probability of dropping a feature; the others are scaled by `1 / (1 - p)`.
        training: Whether to drop features.
        time_dim: Axis of the time steps.
    """
    if not training or p == 0:
        return x
    mask = torch.empty_like(x.select(time_dim, 0)).bernoulli_(1 - p) / (1 - p)
    return x * mask.unsqueeze(time_dim)


def _check_probability(p: float) -> float:
    if not 0 <= p < 1:
        raise ValueError(f"p must be at least 0 and below 1, got {p}")
    return p
