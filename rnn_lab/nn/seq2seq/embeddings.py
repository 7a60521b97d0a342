"""Token embeddings of encoders and decoders."""

import torch
from torch import Tensor, nn

from rnn_lab.nn.dropout import EmbeddingDropout
from rnn_lab.nn.seq2seq.dropouts import NO_DROPOUT, Seq2SeqDropouts
from rnn_lab.special_tokens import PAD_ID


class Embeddings(nn.Module):
    """Token embeddings with the dropout and normalization that encoder and decoder share.

    Args:
        vocab_size: Number of tokens in the vocabulary.
        embedding_dim: Size of a token embedding.
        dropouts: Dropout probabilities; `input` and `embedding` are used here.
        layer_norm: If True, apply layer normalization to the embeddings.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int,
        *,
        dropouts: Seq2SeqDropouts = NO_DROPOUT,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        self.embedding_dim = embedding_dim
        self.table = nn.Embedding(vocab_size, embedding_dim, padding_idx=PAD_ID)
        with torch.no_grad():
            self.table.weight.mul_(embedding_dim**-0.5)  # so that tied logits start small
        self.embedding_dropout = EmbeddingDropout(dropouts.embedding)
        self.norm = nn.LayerNorm(embedding_dim) if layer_norm else nn.Identity()
        self.dropout = dropouts.feature_dropout(dropouts.input)

    def forward(self, tokens: Tensor) -> Tensor:
        """Embed token ids `(batch, time)` as `(batch, time, embedding_dim)`."""
        return self.dropout(self.norm(self.embedding_dropout(self.table, tokens)))
