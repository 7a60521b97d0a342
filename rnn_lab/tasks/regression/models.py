"""Numbers told of series."""

from dataclasses import dataclass
from typing import Any, Literal

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import Metric, MetricCollection

from rnn_lab.core.options import as_options
from rnn_lab.core.task import StepOutput, Task, check_sizes
from rnn_lab.errors import UserError
from rnn_lab.nn import GaussianNoise, build_layer, build_pooling
from rnn_lab.tasks.regression.batch import RegressionBatch
from rnn_lab.tasks.regression.metrics import regression_metrics


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
    """Tell numbers of a series: a recurrent layer, one vector for the series, a linear layer.

    Args:
        input_dim: Features of a step.
        hidden_dim: Features of the state, in each direction.
        output_dim: Numbers to be told of each series.
        num_layers: Recurrent layers on top of each other.
        layer: Recurrent layer by its name in `rnn_lab.nn.LAYERS`.
        layer_kwargs: What that layer takes by name beside its sizes, such as `zoneout`.
        bidirectional: Whether each layer also reads backwards.
        pooling: What stands for the series: `final` (the state after the last step), `mean`,
            `max`, `attention`, or several joined by a plus, such as `mean+max`.
        dropouts: Dropout probabilities.
        input_noise: Standard deviation of the noise added to every value in training.
        initialization: `recommended` or `torch` (torch's own), see `rnn_lab.nn.build_layer`.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Raises:
        UserError: If an argument has no meaning, or the data does not give a size.
    """

    batch_type = RegressionBatch
    monitor, mode = "val/mse", "min"

    def __init__(
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
        rates = as_options(Dropouts, dropouts)
        check_sizes(self, input_dim=input_dim, hidden_dim=hidden_dim, num_layers=num_layers)
        check_sizes(self, output_dim=output_dim)
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.noise = GaussianNoise(input_noise)
        self.recurrent = build_layer(
            layer,
            input_dim,
            hidden_dim,
            num_layers,
            rates.layer,
            bidirectional,
            initialization=initialization,
            options=layer_kwargs,
        )
        self.pool = build_pooling(pooling, self.recurrent.output_size, bidirectional)
        self.dropout = nn.Dropout(rates.head)
        self.fc = nn.Linear(self.pool.output_size, output_dim)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Tell the numbers.

        Args:
            x: Features of every step, `(batch, time, input_dim)`; padding is never read.
            lengths: Steps in each series, `(batch,)`; None if every row is full.

        Returns:
            Numbers of each series, `(batch, output_dim)`.
        """
        output, _ = self.recurrent(self.noise(x), lengths)
        return self.fc(self.dropout(self.pool(output, lengths)))

    def step(self, batch: RegressionBatch) -> StepOutput:
        """Score a batch by the mean squared error."""
        told = self(batch.values, batch.lengths)
        loss = functional.mse_loss(told, batch.targets)
        return StepOutput(loss, told.detach().float(), batch.targets, len(told))

    def configure_metrics(self) -> dict[str, Metric | MetricCollection]:
        """Mean squared error, mean absolute error and R²."""
        return regression_metrics()

    def check_data(self, data: Any) -> None:
        """Refuse series of another width, and other numbers to tell."""
        model, source = type(self).__name__, type(data).__name__
        width = getattr(data, "input_dim", self.input_dim)
        if width != self.input_dim:
            raise UserError(f"{model} reads {self.input_dim} features a step, {source} has {width}")
        count = getattr(data, "output_dim", self.output_dim)
        if count != self.output_dim:
            raise UserError(f"{model} tells {self.output_dim} numbers, {source} asks for {count}")
