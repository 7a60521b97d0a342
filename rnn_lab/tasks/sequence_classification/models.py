"""Sequence classifiers: the base class, the configurable model, and the named architectures."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

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
from rnn_lab.nn import GaussianNoise, build_layer, build_pooling
from rnn_lab.tasks.sequence_classification.batch import SequenceBatch
from rnn_lab.training.items import ItemReport
from rnn_lab.training.reports import get_datamodule


@dataclass(frozen=True)
class Dropouts:
    """Dropout probabilities of a sequence classifier.

    Args:
        layer: Between stacked recurrent layers.
        head: Before the linear layer.
    """

    layer: float = 0.3
    head: float = 0.0


class BaseSequenceClassifier(Task):
    """Recurrent layer over feature vectors, pooling over time, linear layer.

    An architecture is defined by class attributes; `SequenceClassifier` takes them as arguments.

    Args:
        input_dim: Features per step.
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
        pooling: See `SequenceClassifier`.
        dropouts: Dropout probabilities.
        input_noise: Standard deviation of the Gaussian noise added to the input in training.
        loss: Options of the loss.
        initialization: `recommended` or `torch` (PyTorch's default), see `rnn_lab.nn.build_layer`.

    Raises:
        UserError: If an argument is invalid, or the data does not provide a size.
    """

    batch_type = SequenceBatch
    predictor = "rnn_lab.tasks.sequence_classification.predictor.SequencePredictor"
    monitor, mode = "val/accuracy", "max"

    layer_kwargs: dict[str, Any] | None = None
    default_num_layers: int = 2
    bidirectional: bool = False
    pooling: str = "final"
    dropouts: Dropouts = Dropouts()
    input_noise: float = 0.0
    loss: LossConfig = LossConfig()
    initialization: Literal["recommended", "torch"] = "recommended"

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int = 64,
        num_classes: int = 2,
        num_layers: int | None = None,
        *,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        if num_layers is None:
            num_layers = self.default_num_layers
        check_sizes(self, input_dim=input_dim, num_classes=num_classes, num_layers=num_layers)
        check_probabilities(
            label_smoothing=self.loss.label_smoothing, layer_dropout=self.dropouts.layer
        )
        self.class_weights: Tensor | None
        self.input_dim, self.num_classes = input_dim, num_classes
        self.noise = GaussianNoise(self.input_noise)
        self.recurrent = build_layer(
            self.layer,
            input_dim,
            hidden_dim,
            num_layers,
            self.dropouts.layer,
            self.bidirectional,
            initialization=self.initialization,
            options=self.layer_kwargs,
        )
        self.pool = build_pooling(self.pooling, self.recurrent.output_size, self.bidirectional)
        self.dropout = nn.Dropout(self.dropouts.head)
        self.fc = nn.Linear(self.pool.output_size, num_classes)
        weights = fixed_class_weights(self.loss, num_classes)
        self.register_buffer("class_weights", weights, persistent=False)

    @property
    @abstractmethod
    def layer(self) -> str:
        """Recurrent layer by its name in `rnn_lab.nn.LAYERS`."""

    def logits(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute a score for each class.

        Args:
            x: Features of every step, `(batch, time, input_dim)`.
            lengths: Steps in each sequence, `(batch,)`; None: all rows are full.

        Returns:
            Unnormalized scores, `(batch, num_classes)`.
        """
        output, _ = self.recurrent(self.noise(x), lengths)
        return self.fc(self.dropout(self.pool(output, lengths)))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute a score for each class, see `logits`."""
        return self.logits(x, lengths)

    def probabilities(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute the probability of each class, `(batch, num_classes)`."""
        return self.logits(x, lengths).float().softmax(1)

    def step(self, batch: SequenceBatch) -> StepOutput:
        """Compute the cross-entropy of a batch."""
        logits = self.logits(batch.values, batch.lengths)
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
        return class_metrics(self.num_classes)

    def setup(self, stage: str) -> None:
        """Compute the class weights from the data, if requested."""
        super().setup(stage)
        if self.loss.class_weights == "balanced":
            data = getattr(self.trainer, "datamodule", None)
            self.class_weights = balanced_class_weights(data).to(self.device)

    def check_data(self, data: Any) -> None:
        """Raise a UserError if the number of features or classes of the data differs."""
        model, source = type(self).__name__, type(data).__name__
        width = getattr(data, "input_dim", self.input_dim)
        if width != self.input_dim:
            raise UserError(
                f"{model} expects {self.input_dim} features per step, {source} has {width}"
            )
        count = getattr(data, "num_classes", self.num_classes)
        if count != self.num_classes:
            raise UserError(f"{model} predicts {self.num_classes} classes, {source} has {count}")


class SequenceClassifier(BaseSequenceClassifier):
    """Configurable sequence classifier: any recurrent layer, direction, pooling, noise and loss.

    Args:
        input_dim: Features per step.
        hidden_dim: Units of the recurrent layer, in each direction.
        num_classes: Number of classes.
        num_layers: Number of stacked recurrent layers.
        layer: Recurrent layer by its name in `rnn_lab.nn.LAYERS`.
        layer_kwargs: Further arguments of the recurrent layer, such as `zoneout`.
        bidirectional: If True, use bidirectional layers.
        pooling: Pooling over time: `final` (the state after the last step), `mean`, `max`,
            `attention`, or several joined by a plus, such as `mean+max`.
        dropouts: Dropout probabilities.
        input_noise: Standard deviation of the Gaussian noise added to the input in training.
        loss: Options of the loss.
        initialization: `recommended` or `torch` (PyTorch's default), see `rnn_lab.nn.build_layer`.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Raises:
        UserError: If an argument is invalid, or the data does not provide a size.
    """

    layer: str = "GRU"

    def __init__(  # noqa: PLR0913  # 12 options, optimizer and scheduler
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
        dropouts: Dropouts | None = None,
        input_noise: float = 0.0,
        loss: LossConfig | None = None,
        initialization: Literal["recommended", "torch"] = "recommended",
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        self.layer, self.layer_kwargs = layer, layer_kwargs
        self.bidirectional, self.pooling = bidirectional, pooling
        self.dropouts = as_options(Dropouts, dropouts)
        self.loss = as_options(LossConfig, loss)
        self.input_noise, self.initialization = input_noise, initialization
        sizes = input_dim, hidden_dim, num_classes, num_layers
        super().__init__(*sizes, optimizer=optimizer, scheduler=scheduler)


class GRUClassifier(BaseSequenceClassifier):
    """Sequence classifier on the final state of a GRU.

    Source: Cho et al. (2014), https://arxiv.org/abs/1406.1078.
    """

    layer = "GRU"


class LSTMSequenceClassifier(BaseSequenceClassifier):
    """Sequence classifier on the final state of an LSTM.

    Source: Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735.
    """

    layer = "LSTM"


class BiGRUSequenceClassifier(BaseSequenceClassifier):
    """Sequence classifier on mean and maximum over time of a bidirectional GRU.

    Source: Schuster & Paliwal (1997), https://doi.org/10.1109/78.650093, with the cells of Cho et
    al. (2014), https://arxiv.org/abs/1406.1078.
    """

    layer, bidirectional, pooling, dropouts = "GRU", True, "mean+max", Dropouts(head=0.3)
    default_num_layers = 1
