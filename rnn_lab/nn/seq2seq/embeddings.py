"""Word vectors with the dropouts of encoders and decoders."""

import torch
from torch import Tensor, nn

from rnn_lab.nn.dropout import EmbeddingDropout, VariationalDropout
from rnn_lab.special_tokens import PAD_ID


class Embeddings(nn.Module):
    """Word vectors with the dropouts that encoder and decoder share.

    Args:
        vocab_size: Words in the vocabulary.
        embedding_dim: Features of a word.
        dropout: Share of the features dropped.
        embedding_dropout: Share of the vocabulary dropped whole, drawn for each batch.
        locked: Whether the features dropped are the same at all steps of a row.
        layer_norm: Whether vectors are normalized.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int,
        *,
        dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        locked: bool = False,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        self.embedding_dim = embedding_dim
        self.table = nn.Embedding(vocab_size, embedding_dim, padding_idx=PAD_ID)
        with torch.no_grad():
            self.table.weight.mul_(embedding_dim**-0.5)  # so that tied scores start small
        self.embedding_dropout = EmbeddingDropout(embedding_dropout)
        self.norm = nn.LayerNorm(embedding_dim) if layer_norm else nn.Identity()
        self.dropout = VariationalDropout(dropout) if locked else nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Look words up: `(batch, time)` ids to `(batch, time, embedding_dim)`."""
        return self.dropout(self.norm(self.embedding_dropout(self.table, tokens)))
