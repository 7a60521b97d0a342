"""Sequence regression: predict numbers from a sequence of feature vectors."""

from dataclasses import dataclass
from typing import Any, Literal

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import Metric, MetricCollection

from rnn_lab.core.options import as_options
from rnn_lab.core.task import StepOutput, Task, check_sizes
from rnn_lab.errors import UserError
from rnn_lab.nn import GaussianNoise, build_layer, build_pooling
from rnn_lab.nn.functional.precision import at_least_float32
from rnn_lab.tasks.regression.batch import RegressionBatch
from rnn_lab.tasks.regression.metrics import regression_metrics
from rnn_lab.training.items import ItemReport


@dataclass(frozen=True)
class Dropouts:
    """Dropout probabilities of a sequence regressor.

    Args:
        layer: Between stacked recurrent layers.
        head: Before the linear layer.
    """

    layer: float = 0.0
    head: float = 0.0


class SequenceRegressor(Task):
    """Sequence-to-scalar regression: any recurrent layer, pooling over time, linear layer.

    Args:
        input_dim: Features per step.
        hidden_dim: Units of the recurrent layer, in each direction.
        output_dim: Number of targets of each sequence.
        num_layers: Number of stacked recurrent layers.
        layer: Recurrent layer by its name in `rnn_lab.nn.LAYERS`.
        layer_kwargs: Further arguments of the recurrent layer, such as `zoneout`.
        bidirectional: If True, use bidirectional layers.
        pooling: Pooling over time: `final` (the state after the last step), `mean`, `max`,
            `attention`, or several joined by a plus, such as `mean+max`.
        dropouts: Dropout probabilities.
        input_noise: Standard deviation of the Gaussian noise added to the input in training.
        initialization: `recommended` or `torch` (PyTorch's default), see `rnn_lab.nn.build_layer`.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Raises:
        UserError: If an argument is invalid, or the data does not provide a size.
    """

    batch_type = RegressionBatch
    monitor, mode = "val/mse", "min"

    def __init__(  # noqa: PLR0913  # 12 options, optimizer and scheduler
        self,
        input_dim: int,
        hidden_dim: int = 64,
        output_dim: int = 1,
        num_layers: int = 1,
        *,
        layer: str = "LSTM",
        layer_kwargs: dict[str, Any] | None = None,
        bidirectional: bool = False,
        pooling: str = "final",
        dropouts: Dropouts | None = None,
        input_noise: float = 0.0,
        initialization: Literal["recommended", "torch"] = "recommended",
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        dropout = as_options(Dropouts, dropouts)
        sizes = {"input_dim": input_dim, "hidden_dim": hidden_dim, "output_dim": output_dim}
        check_sizes(self, **sizes, num_layers=num_layers)
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.noise = GaussianNoise(input_noise)
        self.recurrent = build_layer(
            layer,
            input_dim,
            hidden_dim,
            num_layers,
            dropout.layer,
            bidirectional,
            initialization=initialization,
            options=layer_kwargs,
        )
        self.pool = build_pooling(pooling, self.recurrent.output_size, bidirectional)
        self.dropout = nn.Dropout(dropout.head)
        self.fc = nn.Linear(self.pool.output_size, output_dim)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Predict the targets.

        Args:
            x: Features of every step, `(batch, time, input_dim)`; padding has no influence.
            lengths: Steps in each sequence, `(batch,)`; None: all rows are full.

        Returns:
            Predictions, `(batch, output_dim)`.
        """
        output, _ = self.recurrent(self.noise(x), lengths)
        return self.fc(self.dropout(self.pool(output, lengths)))

    def step(self, batch: RegressionBatch) -> StepOutput:
        """Compute the mean squared error of a batch."""
        predictions = at_least_float32(self(batch.values, batch.lengths))
        loss = functional.mse_loss(predictions, batch.targets)
        return StepOutput(loss, predictions.detach().float(), batch.targets, len(predictions))

    def items(self, output: StepOutput, batch: Any) -> dict[str, Any]:
        """Return targets and predictions of each row."""
        return {"target": output.targets, "prediction": output.predictions}

    def reports(self) -> list[Callback]:
        """Return the report of all rows."""
        return [ItemReport()]

    def configure_metrics(self) -> dict[str, Metric | MetricCollection]:
        """Create mean squared error, mean absolute error and R²."""
        return regression_metrics()

    def check_data(self, data: Any) -> None:
        """Raise a UserError if the number of features or targets of the data differs."""
        model, source = type(self).__name__, type(data).__name__
        width = getattr(data, "input_dim", self.input_dim)
        if width != self.input_dim:
            raise UserError(
                f"{model} expects {self.input_dim} features per step, {source} has {width}"
            )
        count = getattr(data, "output_dim", self.output_dim)
        if count != self.output_dim:
            raise UserError(
                f"{model} predicts {self.output_dim} numbers, {source} has {count} targets"
            )
