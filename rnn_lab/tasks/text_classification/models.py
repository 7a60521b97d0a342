"""Text classifiers: the code they share, the configurable one, and the named architectures."""

from abc import abstractmethod
from typing import Any, Literal, NamedTuple

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from rnn_lab.classification.loss import class_scores, weigh_classes
from rnn_lab.classification.metrics import class_metrics
from rnn_lab.classification.reports import ConfusionPlot, MisclassifiedExamples
from rnn_lab.core.task import StepOutput, Task, check_sizes
from rnn_lab.errors import UserError
from rnn_lab.nn import EmbeddingDropout, WordDropout, build_layer, pool
from rnn_lab.special_tokens import PAD_ID, UNK_ID
from rnn_lab.tasks.text_classification.batch import TextBatch


class Dropouts(NamedTuple):
    """Probabilities of dropout in a text classifier.

    Attributes:
        layer: Between recurrent layers.
        head: Before the linear layer.
        embedding: Of a word of the vocabulary, in all its places; drawn for each batch.
        word: Of a word in its place, which is then read as the unknown word.
    """

    layer: float = 0.3
    head: float = 0.5
    embedding: float = 0.0
    word: float = 0.0


class BaseTextClassifier(Task):
    """Word vectors, a recurrent layer, one vector for the text, a linear layer.

    What makes an architecture is a class attribute. `TextClassifier` takes all of them as
    arguments.

    Args:
        vocab_size: Words in the vocabulary.
        embedding_dim: Features of a word.
        hidden_dim: Features of the state, in each direction.
        num_classes: Number of labels.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Attributes:
        layer: Recurrent layer by its name in `rnn_lab.nn.LAYERS`.
        layer_kwargs: Its further arguments by name, such as `zoneout`.
        num_layers: Number of stacked recurrent layers.
        bidirectional: If True, use bidirectional layers.
        pooling: See `TextClassifier`.
        dropouts: Probabilities of dropout.
        label_smoothing: Label smoothing epsilon.
        embedding_std: Standard deviation of the initial word vectors.
        initialization: `recommended` or `torch` (torch's own), see `rnn_lab.nn.build_layer`.
        multi_label: Whether a text may have several labels.
        alternative: An architecture for data with more classes, named in a message.

    Raises:
        UserError: If an argument has no meaning, or the data does not give a size.
    """

    batch_type = TextBatch
    predictor = "rnn_lab.tasks.text_classification.predictor.TextPredictor"
    monitor, mode = "val/accuracy", "max"

    layer_kwargs: dict[str, Any] | None = None
    num_layers: int = 1
    bidirectional: bool = False
    pooling: str = "final"
    dropouts: Dropouts = Dropouts()
    label_smoothing: float = 0.0
    embedding_std: float = 1.0
    initialization: Literal["recommended", "torch"] = "recommended"
    multi_label: bool = False
    alternative: str = ""

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 100,
        hidden_dim: int = 256,
        num_classes: int = 2,
        *,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        sizes = {"vocab_size": vocab_size, "num_classes": num_classes}
        check_sizes(self, **sizes, num_layers=self.num_layers)
        self.num_classes = num_classes
        self.class_weights: Tensor | None
        self.word_dropout = WordDropout(self.dropouts.word, UNK_ID)
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=PAD_ID)
        with torch.no_grad():
            self.embedding.weight.mul_(self.embedding_std)
        self.embedding_dropout = EmbeddingDropout(self.dropouts.embedding)
        self.recurrent = build_layer(
            self.layer,
            embedding_dim,
            hidden_dim,
            self.num_layers,
            self.dropouts.layer,
            self.bidirectional,
            initialization=self.initialization,
            options=self.layer_kwargs,
        )
        self.pool = pool(self.pooling, self.recurrent.output_size, self.bidirectional)
        self.dropout = nn.Dropout(self.dropouts.head)
        self.fc = nn.Linear(self.pool.output_size, self.num_outputs)
        self.register_buffer("class_weights", self.weigh_classes(), persistent=False)

    @property
    @abstractmethod
    def layer(self) -> str:
        """Recurrent layer by its name in `rnn_lab.nn.LAYERS`."""

    @property
    def num_outputs(self) -> int:
        """Outputs of the linear layer."""
        return self.num_classes

    def weigh_classes(self) -> Tensor | None:
        """Return the weight of each class in the loss, `(num_classes,)`; None if all are equal."""
        return None

    def logits(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Score the classes.

        Args:
            x: Word ids, `(batch, time)`.
            lengths: Words in each text, `(batch,)`; None if every row is full.

        Returns:
            Unnormalized scores, `(batch, num_classes)`.
        """
        x = self.embedding_dropout(self.embedding, self.word_dropout(x))
        output, _ = self.recurrent(x, lengths)
        return self.fc(self.dropout(self.pool(output, lengths)))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Score the classes, see `logits`."""
        return self.logits(x, lengths)

    def probabilities(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Say how likely each class is, `(batch, num_classes)`."""
        logits = self.logits(x, lengths).float()
        return logits.sigmoid() if self.multi_label else logits.softmax(1)

    def step(self, batch: TextBatch) -> StepOutput:
        """Score a batch by cross-entropy."""
        logits = self.logits(batch.tokens, batch.lengths)
        return class_scores(logits, batch.labels, self.class_weights, self.label_smoothing)

    def reports(self) -> list[Callback]:
        """The confusion matrix and the most confident errors of a test."""
        return [ConfusionPlot(), MisclassifiedExamples()]

    def configure_metrics(self) -> dict[str, Metric | MetricCollection]:
        """Accuracy, macro F1, AUROC where there are two classes, and the confusion matrix."""
        return class_metrics(self.num_classes, self.multi_label)

    def setup(self, stage: str) -> None:
        """Start from the data's word vectors, if it has any."""
        super().setup(stage)
        ask = getattr(getattr(self.trainer, "datamodule", None), "word_vectors", None)
        vectors = ask(self.embedding.embedding_dim) if ask and stage == "fit" else None
        if vectors is not None:
            rows, values = vectors
            with torch.no_grad():
                self.embedding.weight[rows] = values.to(self.embedding.weight)

    def check_data(self, data: Any) -> None:
        """Refuse labels that the model cannot tell."""
        model, source = type(self).__name__, type(data).__name__
        if getattr(data, "multi_label", False) and not self.multi_label:
            raise UserError(f"{model} gives one label, {source} has several; try TextClassifier")
        count = getattr(data, "num_classes", self.num_classes)
        if count != self.num_classes:
            hint = f"; try {self.alternative}" if self.alternative else ""
            raise UserError(f"{model} tells {self.num_classes} classes, {source} has {count}{hint}")


class TextClassifier(BaseTextClassifier):
    """Text classifier with any recurrent layer, direction, pooling, dropout and class weights.

    Args:
        vocab_size: Words in the vocabulary.
        embedding_dim: Features of a word.
        hidden_dim: Features of the state, in each direction.
        num_classes: Number of labels.
        num_layers: Number of stacked recurrent layers.
        layer: Recurrent layer by its name in `rnn_lab.nn.LAYERS`.
        layer_kwargs: Its further arguments by name, such as `zoneout`.
        bidirectional: If True, use bidirectional layers.
        pooling: The vector of the text: `final` (the state after the last word), `mean`, `max`,
            `attention`, or several joined by a plus, such as `mean+max`.
        layer_dropout: Dropout between recurrent layers.
        head_dropout: Dropout before the linear layer.
        embedding_dropout: Share of the vocabulary dropped in all its places, drawn for each batch.
        word_dropout: Share of the words read as unknown in training.
        label_smoothing: Label smoothing epsilon.
        class_weights: Weight of each class in the loss; `balanced` makes it inverse to the
            number of training texts of the class, one on average over the texts.
        class_counts: Training texts of each class; linked from the data.
        multi_label: Whether a text may have several labels; linked from the data.
        embedding_std: Standard deviation of the initial word vectors.
        initialization: `recommended` or `torch` (torch's own), see `rnn_lab.nn.build_layer`.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Raises:
        UserError: If an argument has no meaning, or the data does not give a size.
    """

    layer: str = "LSTM"

    def __init__(
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
        layer_dropout: float = 0.3,
        head_dropout: float = 0.5,
        embedding_dropout: float = 0.0,
        word_dropout: float = 0.0,
        label_smoothing: float = 0.0,
        class_weights: Literal["balanced"] | list[float] | None = None,
        class_counts: list[int] | None = None,
        multi_label: bool = False,
        embedding_std: float = 1.0,
        initialization: Literal["recommended", "torch"] = "recommended",
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        self.layer, self.layer_kwargs, self.num_layers = layer, layer_kwargs, num_layers
        self.bidirectional, self.pooling = bidirectional, pooling
        self.initialization = initialization
        self.dropouts = Dropouts(layer_dropout, head_dropout, embedding_dropout, word_dropout)
        self.label_smoothing, self.embedding_std = label_smoothing, embedding_std
        self.multi_label, self._weighting = multi_label, (class_weights, class_counts)
        sizes = vocab_size, embedding_dim, hidden_dim, num_classes
        super().__init__(*sizes, optimizer=optimizer, scheduler=scheduler)

    def weigh_classes(self) -> Tensor | None:
        """See `BaseTextClassifier`."""
        return weigh_classes(*self._weighting, self.num_classes)


class LSTMClassifier(BaseTextClassifier):
    """Text classifier on the final state of an LSTM.

    Source: Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735.

    Args:
        vocab_size: Words in the vocabulary.
        embedding_dim: Features of a word.
        hidden_dim: Features of the state.
        num_classes: Number of labels.
        num_layers: Number of stacked layers, with dropout 0.3 between them.
        optimizer: See `Task`.
        scheduler: See `Task`.
    """

    layer = "LSTM"

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 100,
        hidden_dim: int = 256,
        num_classes: int = 2,
        num_layers: int = 1,
        *,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        self.num_layers = num_layers
        sizes = vocab_size, embedding_dim, hidden_dim, num_classes
        super().__init__(*sizes, optimizer=optimizer, scheduler=scheduler)


class BiLSTMClassifier(BaseTextClassifier):
    """Text classifier on both final states of a two-layer bidirectional LSTM.

    Source: Schuster & Paliwal (1997), https://doi.org/10.1109/78.650093.
    """

    layer, bidirectional, num_layers = "LSTM", True, 2


class PackedLSTM(BaseTextClassifier):
    """Text classifier on the final state of an LSTM over texts of different lengths.

    Gives what a packed LSTM gives, without packing, which is slow on a CPU.
    """

    layer, dropouts = "LSTM", Dropouts(head=0.0)


class SentimentLSTM(BaseTextClassifier):
    """Binary sentiment classifier: a stacked bidirectional LSTM with one sigmoid output.

    Its single output is the logit of the second of two classes; the loss is taken on it.

    Args:
        vocab_size: Words in the vocabulary.
        embedding_dim: Features of a word.
        hidden_dim: Features of the state, in each direction.
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
        self.num_layers = num_layers
        sizes = vocab_size, embedding_dim, hidden_dim
        super().__init__(*sizes, optimizer=optimizer, scheduler=scheduler)

    def logits(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Score the two classes `(batch, 2)`: the first by zero, the second by the output."""
        output = super().logits(x, lengths)
        return torch.cat([torch.zeros_like(output), output], 1)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Say how likely each text is of the second class, `(batch,)`."""
        return self.probabilities(x, lengths)[:, 1]
