"""The encoder of sequence-to-sequence models."""

from typing import Any

import torch
from torch import Tensor, nn

from rnn_lab.nn.dropout import VariationalDropout
from rnn_lab.nn.functional.state import State
from rnn_lab.nn.layers.fused import FusedRNN
from rnn_lab.nn.layers.registry import build_layer
from rnn_lab.nn.pooling import FinalState
from rnn_lab.nn.seq2seq.embeddings import Embeddings


class Encoder(nn.Module):
    """Read a source: its memory, a vector for each step, and the state after its last real step.

    Args:
        input_dim: Words in the source vocabulary.
        embedding_dim: Features of a word.
        hidden_dim: Features of a step, in each direction.
        num_layers: Recurrent layers on top of each other.
        layer: Recurrent layer by its name in `LAYERS`.
        options: What that layer takes by name beside its sizes, see `build_layer`.
        bidirectional: Whether each layer also reads backwards.
        dropout: Dropout between recurrent layers.
        input_dropout: Dropout of the words' features.
        output_dropout: Dropout of the memory.
        embedding_dropout: Share of the vocabulary dropped whole, drawn for each batch.
        locked: Whether input and output dropout drop the same features at all steps of a row.
        layer_norm: Whether word vectors and memory are normalized.
    """

    def __init__(
        self,
        input_dim: int,
        embedding_dim: int,
        hidden_dim: int,
        num_layers: int,
        *,
        layer: str = "LSTM",
        options: dict[str, Any] | None = None,
        bidirectional: bool = False,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        output_dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        locked: bool = False,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        self.embedding = Embeddings(
            input_dim,
            embedding_dim,
            dropout=input_dropout,
            embedding_dropout=embedding_dropout,
            locked=locked,
            layer_norm=layer_norm,
        )
        self.recurrent = build_layer(
            layer, embedding_dim, hidden_dim, num_layers, dropout, bidirectional, options=options
        )
        self.final = FinalState(self.recurrent.output_size, bidirectional)
        self.output_size = self.recurrent.output_size
        self.norm = nn.LayerNorm(self.output_size) if layer_norm else nn.Identity()
        self.output_dropout = (
            VariationalDropout(output_dropout) if locked else nn.Dropout(output_dropout)
        )

    def forward(self, src: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """Read sources of any length; padding is never read.

        Args:
            src: Word ids, `(batch, src_len)`.
            lengths: Real words of each row, `(batch,)` on the CPU; None: all rows are full.

        Returns:
            The memory, `(batch, src_len, output_size)`, and the state after each row's last real
            word, `(layers * directions, batch, hidden_dim)`; of an LSTM a pair of these, of a
            layer that is not torch's the last output of each direction in place of its state.
        """
        output, state = self.recurrent(self.embedding(src), lengths)
        if not isinstance(self.recurrent, FusedRNN):
            final = self.final(output, lengths)
            state = torch.stack(final.chunk(2 if self.recurrent.bidirectional else 1, 1))
        return self.output_dropout(self.norm(output)), state
