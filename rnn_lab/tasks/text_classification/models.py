"""Text classifiers: the base class, the configurable model, and the named architectures."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from rnn_lab.classification.items import items_of
from rnn_lab.classification.loss import (
    LossConfig,
    balanced_class_weights,
    cross_entropy_step,
    fixed_class_weights,
)
from rnn_lab.classification.metrics import class_metrics
from rnn_lab.classification.reports import ConfusionPlot, PredictionReport
from rnn_lab.core.options import as_options
from rnn_lab.core.task import StepOutput, Task, check_probabilities, check_sizes
from rnn_lab.errors import UserError
from rnn_lab.nn import EmbeddingDropout, WordDropout, build_layer, build_pooling
from rnn_lab.special_tokens import PAD_ID, UNK_ID
from rnn_lab.tasks.text_classification.batch import TextBatch
from rnn_lab.training.items import ItemReport
from rnn_lab.training.reports import get_datamodule


@dataclass(frozen=True)
class Dropouts:
    """Dropout probabilities of a text classifier.

    Args:
        layer: Between stacked recurrent layers.
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


class BaseTextClassifier(Task):
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
        alternative: Name of a model for more classes, suggested in an error message.

    Raises:
        UserError: If an argument is invalid, or the data does not provide a size.
    """

    batch_type = TextBatch
    predictor = "rnn_lab.tasks.text_classification.predictor.TextPredictor"
    monitor, mode = "val/accuracy", "max"

    layer_kwargs: dict[str, Any] | None = None
    default_num_layers: int = 1
    bidirectional: bool = False
    pooling: str = "final"
    dropouts: Dropouts = Dropouts()
    loss: TextLossConfig = TextLossConfig()
    initialization: Initialization = Initialization()
    alternative: str = ""

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
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        if num_layers is None:
            num_layers = self.default_num_layers
        check_sizes(self, vocab_size=vocab_size, num_classes=num_classes, num_layers=num_layers)
        check_probabilities(
            label_smoothing=self.loss.label_smoothing, layer_dropout=self.dropouts.layer
        )
        self.num_classes = num_classes
        self.class_weights: Tensor | None
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
        weights = fixed_class_weights(self.loss, num_classes)
        self.register_buffer("class_weights", weights, persistent=False)

    @property
    @abstractmethod
    def layer(self) -> str:
        """Recurrent layer by its name in `rnn_lab.nn.LAYERS`."""

    @property
    def num_outputs(self) -> int:
        """Outputs of the linear layer."""
        return self.num_classes

    def logits(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute a score for each class.

        Args:
            x: Token ids, `(batch, time)`.
            lengths: Tokens in each text, `(batch,)`; None: all rows are full.

        Returns:
            Unnormalized scores, `(batch, num_classes)`.
        """
        x = self.embedding_dropout(self.embedding, self.word_dropout(x))
        output, _ = self.recurrent(x, lengths)
        return self.fc(self.dropout(self.pool(output, lengths)))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute a score for each class, see `logits`."""
        return self.logits(x, lengths)

    def probabilities(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute the probability of each class, `(batch, num_classes)`."""
        logits = self.logits(x, lengths).float()
        return logits.sigmoid() if self.loss.multi_label else logits.softmax(1)

    def step(self, batch: TextBatch) -> StepOutput:
        """Compute the cross-entropy of a batch."""
        logits = self.logits(batch.tokens, batch.lengths)
        return cross_entropy_step(
            logits, batch.labels, self.class_weights, self.loss.label_smoothing
        )

    def items(self, output: StepOutput, batch: Any) -> dict[str, Any]:
        """Return true and predicted labels and probabilities of each row."""
        return items_of(
            output.predictions, output.targets, get_datamodule(self.trainer).label_names
        )

    def reports(self) -> list[Callback]:
        """Create the reports of a test: confusion matrix, most confident errors, all rows."""
        return [ConfusionPlot(), PredictionReport(), ItemReport()]

    def configure_metrics(self) -> dict[str, Metric | MetricCollection]:
        """Create accuracy, macro F1, AUROC for two classes, and the confusion matrix."""
        return class_metrics(self.num_classes, self.loss.multi_label)

    def setup(self, stage: str) -> None:
        """Load the word vectors and the class weights of the data, if requested."""
        super().setup(stage)
        data = getattr(self.trainer, "datamodule", None)
        if self.loss.class_weights == "balanced":
            self.class_weights = balanced_class_weights(data).to(self.device)
        read = getattr(data, "word_vectors", None) if stage == "fit" else None
        word_vectors = read(self.embedding.embedding_dim) if read else None
        if word_vectors is not None:
            ids, vectors = word_vectors
            with torch.no_grad():
                self.embedding.weight[ids] = vectors.to(self.embedding.weight)

    def check_data(self, data: Any) -> None:
        """Raise a UserError if the labels of the data do not match the model."""
        model, source = type(self).__name__, type(data).__name__
        multi_label = getattr(data, "multi_label", self.loss.multi_label)
        if multi_label and not self.loss.multi_label:
            raise UserError(
                f"{model} predicts one label per text, {source} has several: "
                "use --model=TextClassifier --model.loss.multi_label=true"
            )
        if self.loss.multi_label and not multi_label:
            raise UserError(
                f"{source} has one label per text: remove --model.loss.multi_label, or set "
                "--data.columns.label_separator"
            )
        count = getattr(data, "num_classes", self.num_classes)
        if count != self.num_classes:
            hint = f": try --model={self.alternative}" if self.alternative else ""
            raise UserError(
                f"{model} predicts {self.num_classes} classes, {source} has {count}{hint}"
            )


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
