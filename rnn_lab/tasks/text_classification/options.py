"""Groups of options of text classifiers."""

from dataclasses import dataclass
from typing import Literal

from rnn_lab.classification.loss import LossConfig


@dataclass(frozen=True)
class Dropouts:
    """Dropout probabilities of a text classifier.

    Args:
        layer: Between stacked recurrent layers; in every sublayer of a Transformer.
        head: Before the linear layer.
        embedding: Of the embedding of a word of the vocabulary, for all its occurrences in a batch.
        word: Of a single token, which is replaced by the unknown word.
    """

    layer: float = 0.3
    head: float = 0.5
    embedding: float = 0.0
    word: float = 0.0


@dataclass(frozen=True)
class TextLossConfig(LossConfig):
    """Options of the loss of a text classifier.

    Args:
        label_smoothing: Label smoothing epsilon.
        class_weights: Weight of each class; `balanced` sets them inversely proportional to the
            number of training texts of a class, with mean 1 over the texts.
        multi_label: If True, a text may have several labels, each predicted independently with
            binary cross-entropy.
    """

    multi_label: bool = False


@dataclass(frozen=True)
class Initialization:
    """Initialization of the weights of a text classifier.

    Args:
        embedding_std: Standard deviation of the initial embeddings.
        scheme: `recommended` or `torch` (PyTorch's default), see `rnn_lab.nn.build_layer`.
    """

    embedding_std: float = 1.0
    scheme: Literal["recommended", "torch"] = "recommended"
