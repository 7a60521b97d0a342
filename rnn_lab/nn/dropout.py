"""Dropout of whole words."""

import torch
from torch import Tensor, nn


class WordDropout(nn.Module):
    """Replace words by the unknown word at random, in training only.

    Source: Iyyer et al. (2015), https://aclanthology.org/P15-1162, who leave such words out.

    Args:
        p: Probability of replacing a word.
        unk_id: Id of the unknown word.
        pad_id: Id of the padding, which always stays.
    """

    def __init__(self, p: float, unk_id: int = 1, pad_id: int = 0) -> None:
        super().__init__()
        self.p, self.unk_id, self.pad_id = _probability(p), unk_id, pad_id

    def forward(self, tokens: Tensor) -> Tensor:
        """Replace each real word on its own: `(batch, time)` ids in and out."""
        if not self.training or self.p == 0:
            return tokens
        dropped = tokens.new_empty(tokens.shape).bernoulli_(self.p).bool()
        return tokens.masked_fill(dropped & (tokens != self.pad_id), self.unk_id)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class EmbeddingDropout(nn.Module):
    """Drop words of the vocabulary: all occurrences in a batch together, in training only.

    Source: Gal & Ghahramani (2016), https://arxiv.org/abs/1512.05287, section 4.2.

    Args:
        p: Probability of dropping a word; what stays is scaled by `1 / (1 - p)`.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = _probability(p)

    def forward(self, embedding: nn.Embedding, tokens: Tensor) -> Tensor:
        """Look words up, the dropped ones as zeros.

        Args:
            embedding: The table of the whole vocabulary.
            tokens: Word ids, `(batch, time)`.

        Returns:
            Embedded words, `(batch, time, embedding_dim)`.
        """
        embedded = embedding(tokens)
        if not self.training or self.p == 0:
            return embedded
        scale = embedded.new_empty(embedding.num_embeddings).bernoulli_(1 - self.p) / (1 - self.p)
        return embedded * scale[tokens].unsqueeze(-1)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class LockedDropout(nn.Module):
    """Drop the same features at all steps of a row, drawn anew for each row and call.

    Source: Gal & Ghahramani (2016), https://arxiv.org/abs/1512.05287, there called variational.

    Args:
        p: Probability of dropping a feature; what stays is scaled by `1 / (1 - p)`.
        time: The axis of the steps, 1 or 0.
    """

    def __init__(self, p: float, time: int = 1) -> None:
        super().__init__()
        self.p, self.time = _probability(p), time

    def forward(self, x: Tensor) -> Tensor:
        """Drop features of `(batch, time, features)`, or of `(time, batch, features)`."""
        if not self.training or self.p == 0:
            return x
        kept = torch.empty_like(x.select(self.time, 0)).bernoulli_(1 - self.p) / (1 - self.p)
        return x * kept.unsqueeze(self.time)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def _probability(p: float) -> float:
    if not 0 <= p < 1:
        raise ValueError(f"p must be at least 0 and below 1, got {p}")
    return p
