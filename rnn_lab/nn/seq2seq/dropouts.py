"""Dropout probabilities of encoders and decoders."""

from dataclasses import dataclass

from torch import nn

from rnn_lab.nn.dropout import VariationalDropout


@dataclass(frozen=True)
class Seq2SeqDropouts:
    """Dropout probabilities of an encoder and a decoder.

    Source of variational dropout: Gal & Ghahramani (2016), https://arxiv.org/abs/1512.05287.

    Args:
        layer: Dropout between recurrent layers.
        input: Dropout of the embeddings' features.
        encoder_output: Dropout of the encoder's output.
        output: Dropout before the decoder's output layer.
        embedding: Probability of dropping a token of the vocabulary entirely, drawn per batch.
        variational: If True, all steps of a sequence share one mask of dropped features.

    Raises:
        ValueError: If a probability is not in [0, 1).
    """

    layer: float = 0.2
    input: float = 0.2
    encoder_output: float = 0.2
    output: float = 0.2
    embedding: float = 0.0
    variational: bool = False

    def __post_init__(self) -> None:
        for name in ("layer", "input", "encoder_output", "output", "embedding"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"dropouts.{name} must be at least 0 and below 1, got {getattr(self, name)}"
                )

    def feature_dropout(self, p: float) -> nn.Module:
        """Return dropout of features with probability `p`, with one mask per step or sequence."""
        return VariationalDropout(p) if self.variational else nn.Dropout(p)


NO_DROPOUT = Seq2SeqDropouts(layer=0.0, input=0.0, encoder_output=0.0, output=0.0)
