"""The encoder of sequence-to-sequence models."""

from typing import Any

import torch
from torch import Tensor, nn

from rnn_lab.nn.functional.state import State
from rnn_lab.nn.layers.fused import FusedRNN
from rnn_lab.nn.layers.registry import build_layer
from rnn_lab.nn.pooling import FinalState
from rnn_lab.nn.seq2seq.dropouts import NO_DROPOUT, Seq2SeqDropouts
from rnn_lab.nn.seq2seq.embeddings import Embeddings


class Encoder(nn.Module):
    """Encode a source sequence: an output per step, and the state after the last real step.

    Args:
        input_dim: Number of tokens in the source vocabulary.
        embedding_dim: Size of a token embedding.
        hidden_dim: Size of the hidden state, in each direction.
        num_layers: Number of stacked recurrent layers.
        layer: Recurrent layer by its name in `LAYERS`.
        layer_kwargs: Its further arguments by name, see `build_layer`.
        bidirectional: If True, use bidirectional layers.
        layer_norm: If True, apply layer normalization to the embeddings and the output.
        dropouts: Dropout probabilities; all but `output` are used here.
    """

    def __init__(
        self,
        input_dim: int,
        embedding_dim: int,
        hidden_dim: int,
        num_layers: int,
        *,
        layer: str = "LSTM",
        layer_kwargs: dict[str, Any] | None = None,
        bidirectional: bool = False,
        layer_norm: bool = False,
        dropouts: Seq2SeqDropouts = NO_DROPOUT,
    ) -> None:
        super().__init__()
        self.embedding = Embeddings(
            input_dim, embedding_dim, dropouts=dropouts, layer_norm=layer_norm
        )
        sizes = embedding_dim, hidden_dim, num_layers
        self.recurrent = build_layer(
            layer, *sizes, dropouts.layer, bidirectional, options=layer_kwargs
        )
        self.final = FinalState(self.recurrent.output_size, bidirectional)
        self.output_size = self.recurrent.output_size
        self.norm = nn.LayerNorm(self.output_size) if layer_norm else nn.Identity()
        self.output_dropout = dropouts.feature_dropout(dropouts.encoder_output)

    def forward(self, src: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """Encode sources of any length; padding does not affect the result.

        Args:
            src: Token ids, `(batch, src_len)`.
            lengths: Real tokens of each source, `(batch,)` on the CPU; None if every row is full.

        Returns:
            The memory, `(batch, src_len, output_size)`, and the state after the last real token
            of each row, `(layers * directions, batch, hidden_dim)`: a pair of these for an LSTM.
            A layer that is not one of torch's has the last output of each direction as its state.
        """
        output, state = self.recurrent(self.embedding(src), lengths)
        if not isinstance(self.recurrent, FusedRNN):
            final = self.final(output, lengths)
            state = torch.stack(final.chunk(2 if self.recurrent.bidirectional else 1, 1))
        return self.output_dropout(self.norm(output)), state
