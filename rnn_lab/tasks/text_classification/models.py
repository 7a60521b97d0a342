"""Text classifiers: the base class, the configurable model, and the named architectures."""

from abc import abstractmethod
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from rnn_lab.core.options import as_options
from rnn_lab.core.task import check_probabilities, check_sizes
from rnn_lab.nn import EmbeddingDropout, WordDropout, build_layer, build_pooling
from rnn_lab.special_tokens import PAD_ID, UNK_ID
from rnn_lab.tasks.text_classification.options import Dropouts, Initialization, TextLossConfig
from rnn_lab.tasks.text_classification.task import TextClassificationTask


class BaseTextClassifier(TextClassificationTask):
    """Embedding, recurrent layer, pooling over time, linear layer.

    An architecture is defined by class attributes; `TextClassifier` takes them as arguments.

    Args:
        vocab_size: Words in the vocabulary.
        embedding_dim: Size of the embeddings.
        hidden_dim: Units of the recurrent layer, in each direction.
        num_classes: Number of classes.
        num_layers: Number of stacked layers; None: `default_num_layers`.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Attributes:
        layer: Recurrent layer by its name in `rnn_lab.nn.LAYERS`.
        layer_kwargs: Further arguments of the recurrent layer, such as `zoneout`.
        default_num_layers: Number of stacked layers if it is not an argument.
        bidirectional: If True, use bidirectional layers.
        pooling: See `TextClassifier`.
        dropouts: Dropout probabilities.
        loss: Options of the loss.
        initialization: Initialization of the weights.

    Raises:
        UserError: If an argument is invalid, or the data does not provide a size.
    """

    layer_kwargs: dict[str, Any] | None = None
    default_num_layers: int = 1
    bidirectional: bool = False
    pooling: str = "final"
    dropouts: Dropouts = Dropouts()
    initialization: Initialization = Initialization()

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 100,
        hidden_dim: int = 256,
        num_classes: int = 2,
        num_layers: int | None = None,
        *,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(num_classes, optimizer=optimizer, scheduler=scheduler)
        if num_layers is None:
            num_layers = self.default_num_layers
        check_sizes(self, vocab_size=vocab_size, num_layers=num_layers)
        check_probabilities(layer_dropout=self.dropouts.layer)
        self.word_dropout = WordDropout(self.dropouts.word, UNK_ID)
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=PAD_ID)
        with torch.no_grad():
            self.embedding.weight.mul_(self.initialization.embedding_std)
        self.embedding_dropout = EmbeddingDropout(self.dropouts.embedding)
        self.recurrent = build_layer(
            self.layer,
            embedding_dim,
            hidden_dim,
            num_layers,
            self.dropouts.layer,
            self.bidirectional,
            initialization=self.initialization.scheme,
            options=self.layer_kwargs,
        )
        self.pool = build_pooling(self.pooling, self.recurrent.output_size, self.bidirectional)
        self.dropout = nn.Dropout(self.dropouts.head)
        self.fc = nn.Linear(self.pool.output_size, self.num_outputs)

    @property
    @abstractmethod
    def layer(self) -> str:
        """Recurrent layer by its name in `rnn_lab.nn.LAYERS`."""

    @property
    def word_embedding(self) -> nn.Embedding:
        """Embedding that word vectors of the data are loaded into."""
        return self.embedding

    def logits(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute a score for each class, see `TextClassificationTask`."""
        x = self.embedding_dropout(self.embedding, self.word_dropout(x))
        output, _ = self.recurrent(x, lengths)
        return self.fc(self.dropout(self.pool(output, lengths)))


class TextClassifier(BaseTextClassifier):
    """Configurable text classifier: any recurrent layer, direction, pooling, dropout and loss.

    Args:
        vocab_size: Words in the vocabulary.
        embedding_dim: Size of the embeddings.
        hidden_dim: Units of the recurrent layer, in each direction.
        num_classes: Number of classes.
        num_layers: Number of stacked recurrent layers.
        layer: Recurrent layer by its name in `rnn_lab.nn.LAYERS`.
        layer_kwargs: Further arguments of the recurrent layer, such as `zoneout`.
        bidirectional: If True, use bidirectional layers.
        pooling: Pooling over time: `final` (the state after the last token), `mean`, `max`,
            `attention`, or several joined by a plus, such as `mean+max`.
        dropouts: Dropout probabilities.
        loss: Options of the loss.
        initialization: Initialization of the weights.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Raises:
        UserError: If an argument is invalid, or the data does not provide a size.
    """

    layer: str = "LSTM"

    def __init__(  # noqa: PLR0913  # 12 options, optimizer and scheduler
        self,
        vocab_size: int,
        embedding_dim: int = 100,
        hidden_dim: int = 256,
        num_classes: int = 2,
        num_layers: int = 1,
        *,
        layer: str = "LSTM",
        layer_kwargs: dict[str, Any] | None = None,
        bidirectional: bool = False,
        pooling: str = "final",
        dropouts: Dropouts | None = None,
        loss: TextLossConfig | None = None,
        initialization: Initialization | None = None,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        self.layer, self.layer_kwargs = layer, layer_kwargs
        self.bidirectional, self.pooling = bidirectional, pooling
        self.dropouts = as_options(Dropouts, dropouts)
        self.loss = as_options(TextLossConfig, loss)
        self.initialization = as_options(Initialization, initialization)
        sizes = vocab_size, embedding_dim, hidden_dim, num_classes, num_layers
        super().__init__(*sizes, optimizer=optimizer, scheduler=scheduler)


class LSTMClassifier(BaseTextClassifier):
    """Text classifier on the final state of an LSTM.

    Source: Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735.
    """

    layer = "LSTM"


class BiLSTMClassifier(BaseTextClassifier):
    """Text classifier on both final states of a two-layer bidirectional LSTM.

    Source: Schuster & Paliwal (1997), https://doi.org/10.1109/78.650093.
    """

    layer, bidirectional, default_num_layers = "LSTM", True, 2


class PackedLSTM(BaseTextClassifier):
    """Text classifier on the final state of an LSTM over texts of different lengths.

    Computes what a packed LSTM computes, without packing, which is slow on a CPU.
    """

    layer, dropouts = "LSTM", Dropouts(head=0.0)


class SentimentLSTM(BaseTextClassifier):
    """Stacked bidirectional LSTM with one sigmoid output (binary sentiment).

    The output is the logit of the second of two classes; the loss is computed from it.

    Args:
        vocab_size: Words in the vocabulary.
        embedding_dim: Size of the embeddings.
        hidden_dim: Units of the LSTM, in each direction.
        num_layers: Number of stacked layers, with dropout 0.5 between them.
        optimizer: See `Task`.
        scheduler: See `Task`.
    """

    layer, bidirectional, dropouts = "LSTM", True, Dropouts(layer=0.5)
    num_outputs, alternative = 1, "LSTMClassifier"

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 100,
        hidden_dim: int = 256,
        num_layers: int = 2,
        *,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        sizes = vocab_size, embedding_dim, hidden_dim, 2, num_layers
        super().__init__(*sizes, optimizer=optimizer, scheduler=scheduler)

    def logits(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute a score for each of two classes, `(batch, 2)`; that of the first is zero."""
        output = super().logits(x, lengths)
        return torch.cat([torch.zeros_like(output), output], 1)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute the probability of the second class, `(batch,)`."""
        return self.probabilities(x, lengths)[:, 1]
