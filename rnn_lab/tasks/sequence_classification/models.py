"""Series classifiers: the code they share, the configurable one, and the named ones."""

from abc import abstractmethod
from typing import Any, Literal

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from rnn_lab.classification.loss import class_scores, weigh_classes
from rnn_lab.classification.metrics import class_metrics
from rnn_lab.classification.reports import ConfusionPlot
from rnn_lab.core.task import StepOutput, Task, check_sizes
from rnn_lab.errors import UserError
from rnn_lab.nn import GaussianNoise, build_layer, pool
from rnn_lab.tasks.sequence_classification.batch import SequenceBatch


class BaseSequenceClassifier(Task):
    """A recurrent layer over feature vectors, one vector for the series, a linear layer.

    What makes an architecture is a class attribute. `SequenceClassifier` takes all of them as
    arguments.

    Args:
        input_dim: Features of a step.
        hidden_dim: Features of the state, in each direction.
        num_classes: Number of labels.
        num_layers: Number of stacked layers, with dropout between them.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Attributes:
        layer: Recurrent layer by its name in `rnn_lab.nn.LAYERS`.
        layer_kwargs: Its further arguments by name, such as `zoneout`.
        bidirectional: If True, use bidirectional layers.
        pooling: See `SequenceClassifier`.
        layer_dropout: Dropout between recurrent layers.
        head_dropout: Dropout before the linear layer.
        input_noise: Standard deviation of the noise added to every value in training.
        label_smoothing: Label smoothing epsilon.
        initialization: `recommended` or `torch` (torch's own), see `rnn_lab.nn.build_layer`.

    Raises:
        UserError: If an argument has no meaning, or the data does not give a size.
    """

    batch_type = SequenceBatch
    predictor = "rnn_lab.tasks.sequence_classification.predictor.SequencePredictor"
    monitor, mode = "val/accuracy", "max"

    layer_kwargs: dict[str, Any] | None = None
    bidirectional: bool = False
    pooling: str = "final"
    layer_dropout: float = 0.3
    head_dropout: float = 0.0
    input_noise: float = 0.0
    label_smoothing: float = 0.0
    initialization: Literal["recommended", "torch"] = "recommended"

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int = 64,
        num_classes: int = 2,
        num_layers: int = 2,
        *,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        check_sizes(self, input_dim=input_dim, num_classes=num_classes, num_layers=num_layers)
        self.class_weights: Tensor | None
        self.input_dim, self.num_classes = input_dim, num_classes
        self.noise = GaussianNoise(self.input_noise)
        self.recurrent = build_layer(
            self.layer,
            input_dim,
            hidden_dim,
            num_layers,
            self.layer_dropout,
            self.bidirectional,
            initialization=self.initialization,
            options=self.layer_kwargs,
        )
        self.pool = pool(self.pooling, self.recurrent.output_size, self.bidirectional)
        self.dropout = nn.Dropout(self.head_dropout)
        self.fc = nn.Linear(self.pool.output_size, num_classes)
        self.register_buffer("class_weights", self.weigh_classes(), persistent=False)

    @property
    @abstractmethod
    def layer(self) -> str:
        """Recurrent layer by its name in `rnn_lab.nn.LAYERS`."""

    def weigh_classes(self) -> Tensor | None:
        """Return the weight of each class in the loss, `(num_classes,)`; None if all are equal."""
        return None

    def logits(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Score the classes.

        Args:
            x: Features of every step, `(batch, time, input_dim)`.
            lengths: Steps in each series, `(batch,)`; None if every row is full.

        Returns:
            Unnormalized scores, `(batch, num_classes)`.
        """
        output, _ = self.recurrent(self.noise(x), lengths)
        return self.fc(self.dropout(self.pool(output, lengths)))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Score the classes, see `logits`."""
        return self.logits(x, lengths)

    def probabilities(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Say how likely each class is, `(batch, num_classes)`."""
        return self.logits(x, lengths).float().softmax(1)

    def step(self, batch: SequenceBatch) -> StepOutput:
        """Score a batch by cross-entropy."""
        logits = self.logits(batch.values, batch.lengths)
        return class_scores(logits, batch.labels, self.class_weights, self.label_smoothing)

    def reports(self) -> list[Callback]:
        """The confusion matrix of a test."""
        return [ConfusionPlot()]

    def configure_metrics(self) -> dict[str, Metric | MetricCollection]:
        """Accuracy, macro F1, AUROC where there are two classes, and the confusion matrix."""
        return class_metrics(self.num_classes)

    def check_data(self, data: Any) -> None:
        """Refuse series of another width, and labels that the model cannot tell."""
        model, source = type(self).__name__, type(data).__name__
        width = getattr(data, "input_dim", self.input_dim)
        if width != self.input_dim:
            raise UserError(f"{model} reads {self.input_dim} features a step, {source} has {width}")
        count = getattr(data, "num_classes", self.num_classes)
        if count != self.num_classes:
            raise UserError(f"{model} tells {self.num_classes} classes, {source} has {count}")


class SequenceClassifier(BaseSequenceClassifier):
    """Series classifier with any recurrent layer, direction, pooling, noise and class weights.

    Args:
        input_dim: Features of a step.
        hidden_dim: Features of the state, in each direction.
        num_classes: Number of labels.
        num_layers: Number of stacked recurrent layers.
        layer: Recurrent layer by its name in `rnn_lab.nn.LAYERS`.
        layer_kwargs: Its further arguments by name, such as `zoneout`.
        bidirectional: If True, use bidirectional layers.
        pooling: The vector of the series: `final` (the state after the last step), `mean`,
            `max`, `attention`, or several joined by a plus, such as `mean+max`.
        layer_dropout: Dropout between recurrent layers.
        head_dropout: Dropout before the linear layer.
        input_noise: Standard deviation of the noise added to every value in training.
        label_smoothing: Label smoothing epsilon.
        class_weights: Weight of each class in the loss; `balanced` makes it inverse to the
            number of training series of the class, one on average over the series.
        class_counts: Training series of each class; linked from the data.
        initialization: `recommended` or `torch` (torch's own), see `rnn_lab.nn.build_layer`.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Raises:
        UserError: If an argument has no meaning, or the data does not give a size.
    """

    layer: str = "GRU"

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int = 64,
        num_classes: int = 2,
        num_layers: int = 1,
        *,
        layer: str = "GRU",
        layer_kwargs: dict[str, Any] | None = None,
        bidirectional: bool = False,
        pooling: str = "final",
        layer_dropout: float = 0.3,
        head_dropout: float = 0.0,
        input_noise: float = 0.0,
        label_smoothing: float = 0.0,
        class_weights: Literal["balanced"] | list[float] | None = None,
        class_counts: list[int] | None = None,
        initialization: Literal["recommended", "torch"] = "recommended",
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        self.layer, self.layer_kwargs = layer, layer_kwargs
        self.bidirectional, self.pooling = bidirectional, pooling
        self.layer_dropout, self.head_dropout = layer_dropout, head_dropout
        self.input_noise, self.label_smoothing = input_noise, label_smoothing
        self.initialization, self._weighting = initialization, (class_weights, class_counts)
        sizes = input_dim, hidden_dim, num_classes, num_layers
        super().__init__(*sizes, optimizer=optimizer, scheduler=scheduler)

    def weigh_classes(self) -> Tensor | None:
        """See `BaseSequenceClassifier`."""
        return weigh_classes(*self._weighting, self.num_classes)


class GRUClassifier(BaseSequenceClassifier):
    """Series classifier on the final state of a GRU.

    Source: Cho et al. (2014), https://arxiv.org/abs/1406.1078.
    """

    layer = "GRU"


class LSTMSequenceClassifier(BaseSequenceClassifier):
    """Series classifier on the final state of an LSTM.

    Source: Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735.
    """

    layer = "LSTM"


class BiGRUClassifier(BaseSequenceClassifier):
    """Series classifier on mean and maximum over time of a bidirectional GRU.

    Source: Schuster & Paliwal (1997), https://doi.org/10.1109/78.650093, with the cells of Cho et
    al. (2014), https://arxiv.org/abs/1406.1078.

    Args:
        input_dim: Features of a step.
        hidden_dim: Features of the state, in each direction.
        num_classes: Number of classes.
        num_layers: Number of stacked layers, with dropout 0.3 between them and after the last.
        optimizer: See `Task`.
        scheduler: See `Task`.
    """

    layer, bidirectional, pooling, head_dropout = "GRU", True, "mean+max", 0.3

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int = 64,
        num_classes: int = 2,
        num_layers: int = 1,
        *,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        sizes = input_dim, hidden_dim, num_classes, num_layers
        super().__init__(*sizes, optimizer=optimizer, scheduler=scheduler)
