"""Classifiers of series: one family, and the architectures that fix its choices."""

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
from rnn_lab.tasks.sequence_classification.batch import SeriesBatch


class SeriesClassifier(Task):
    """Label a series: a recurrent layer, one vector for the series, a linear layer.

    The family of all classifiers of series, for comparisons and sweeps; the named architectures
    below fix most of its arguments.

    Args:
        input_dim: Features of a step.
        hidden_dim: Features of the state, in each direction.
        num_classes: Number of labels.
        num_layers: Recurrent layers on top of each other.
        layer: Recurrent layer by its name in `rnn_lab.nn.LAYERS`.
        layer_options: What that layer takes by name beside its sizes, such as `zoneout`.
        bidirectional: Whether each layer also reads backwards.
        pooling: What stands for the series: `final` (the state after the last step), `mean`,
            `max`, `attention`, or several joined by a plus, such as `mean+max`.
        layer_dropout: Dropout between recurrent layers.
        head_dropout: Dropout before the linear layer.
        input_noise: Standard deviation of the noise added to every value in training.
        label_smoothing: Share of each target that is spread evenly over all classes.
        class_weights: Weight of each class in the loss; `balanced` makes it inverse to the
            number of training series of the class, one on average over the series.
        class_counts: Training series of each class; the data says it.
        initialization: `recommended` or `torch` (torch's own), see `rnn_lab.nn.build_layer`.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Raises:
        UserError: If an argument has no meaning, or the data does not give a size.
    """

    batch_type = SeriesBatch
    predictor = "rnn_lab.tasks.sequence_classification.predictor.SeriesPredictor"
    monitor, mode = "val/accuracy", "max"

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int = 64,
        num_classes: int = 2,
        num_layers: int = 1,
        *,
        layer: str = "GRU",
        layer_options: dict[str, Any] | None = None,
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
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        check_sizes(self, input_dim=input_dim, num_classes=num_classes, num_layers=num_layers)
        self.class_weights: Tensor | None
        self.input_dim = input_dim
        self.num_classes = num_classes
        self.label_smoothing = label_smoothing
        self.noise = GaussianNoise(input_noise)
        self.recurrent = build_layer(
            layer,
            input_dim,
            hidden_dim,
            num_layers,
            layer_dropout,
            bidirectional,
            initialization=initialization,
            options=layer_options,
        )
        self.pool = pool(pooling, self.recurrent.output_size, bidirectional)
        self.dropout = nn.Dropout(head_dropout)
        self.fc = nn.Linear(self.pool.output_size, num_classes)
        weights = weigh_classes(class_weights, class_counts, num_classes)
        self.register_buffer("class_weights", weights, persistent=False)

    def logits(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Score the classes.

        Args:
            x: Features of every step, `(batch, time, input_dim)`.
            lengths: Steps in each series, `(batch,)`; None if every row is full.

        Returns:
            Unnormalised scores, `(batch, num_classes)`.
        """
        output, _ = self.recurrent(self.noise(x), lengths)
        return self.fc(self.dropout(self.pool(output, lengths)))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Score the classes, see `logits`."""
        return self.logits(x, lengths)

    def probabilities(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Say how likely each class is, `(batch, num_classes)`."""
        return self.logits(x, lengths).float().softmax(1)

    def step(self, batch: SeriesBatch) -> StepOutput:
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


class GRUClassifier(SeriesClassifier):
    """Label a series of feature vectors by the final state of a GRU.

    Source: Cho et al. (2014), https://arxiv.org/abs/1406.1078.

    Args:
        input_dim: Features of a step.
        hidden_dim: Features of the state.
        num_classes: Number of classes.
        num_layers: Layers on top of each other, with dropout 0.3 between them.
        optimizer: See `Task`.
        scheduler: See `Task`.
    """

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
        super().__init__(
            input_dim,
            hidden_dim,
            num_classes,
            num_layers,
            optimizer=optimizer,
            scheduler=scheduler,
        )


class LSTMSeriesClassifier(SeriesClassifier):
    """Label a series of feature vectors by the final state of an LSTM.

    Source: Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735.

    Args:
        input_dim: Features of a step.
        hidden_dim: Features of the state.
        num_classes: Number of classes.
        num_layers: Layers on top of each other, with dropout 0.3 between them.
        optimizer: See `Task`.
        scheduler: See `Task`.
    """

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
        super().__init__(
            input_dim,
            hidden_dim,
            num_classes,
            num_layers,
            layer="LSTM",
            optimizer=optimizer,
            scheduler=scheduler,
        )


class BiGRUClassifier(SeriesClassifier):
    """Label a series by the mean and the maximum over time of a GRU that reads both ways.

    Source: Schuster & Paliwal (1997), https://doi.org/10.1109/78.650093, with the cells of Cho et
    al. (2014), https://arxiv.org/abs/1406.1078.

    Args:
        input_dim: Features of a step.
        hidden_dim: Features of the state, in each direction.
        num_classes: Number of classes.
        num_layers: Layers on top of each other, with dropout 0.3 between them and after the last.
        optimizer: See `Task`.
        scheduler: See `Task`.
    """

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
        super().__init__(
            input_dim,
            hidden_dim,
            num_classes,
            num_layers,
            bidirectional=True,
            pooling="mean+max",
            head_dropout=0.3,
            optimizer=optimizer,
            scheduler=scheduler,
        )
