"""What every forecaster does with a batch."""

from abc import abstractmethod
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from rnn_lab.core.task import StepOutput, Task
from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.metrics import Calibration, Forecast, ForecastErrors
from rnn_lab.tasks.forecasting.outputs import LEVELS, Output, Parameters, Point
from rnn_lab.tasks.forecasting.reports import ForecastReport


class ForecastTask(Task):
    """What every forecaster does with a batch: minimize, measure, calibrate.

    A subclass says what it makes of a batch: the parameters of its output for each step and
    channel to come.

    Attributes:
        output: What is said of a value to come.
        horizon: Steps that are forecast.
        channels: Values at each step.
    """

    batch_type = WindowBatch
    predictor = "rnn_lab.tasks.forecasting.predictor.ForecastPredictor"
    output: Output = Point()
    horizon: int
    channels: int

    @abstractmethod
    def parameters_of(self, batch: WindowBatch) -> Parameters:
        """Read a batch: the parameters of the output, each `(batch, horizon, channels)`."""

    def forecast(self, batch: WindowBatch, levels: tuple[float, ...] = LEVELS) -> Forecast:
        """Forecast the steps after the windows of a batch, whose future is not read.

        Args:
            batch: Windows.
            levels: Probabilities whose quantiles are wanted, where the model knows any.
        """
        return self._said(self.parameters_of(batch), levels)

    def _said(self, parameters: Parameters, levels: tuple[float, ...] = LEVELS) -> Forecast:
        quantiles = self.output.quantiles(parameters, levels)
        return Forecast(self.output.point(parameters), quantiles, levels)

    def step(self, batch: WindowBatch) -> StepOutput:
        """Score a batch by the loss of what was observed; in evaluation with its forecast."""
        parameters = self.parameters_of(batch)
        forecast = None if self.training else self._said(parameters)
        return self._scores(parameters, batch, forecast)

    def _scores(
        self, parameters: Parameters, batch: WindowBatch, forecast: Forecast | None
    ) -> StepOutput:
        """The mean loss over what was observed; zero, over nothing, where nothing was."""
        seen = ~torch.isnan(batch.future)
        count = int(seen.sum())
        losses = self.output.loss(parameters, torch.where(seen, batch.future, 0))
        loss = torch.where(seen, losses, 0).sum() / max(count, 1)
        return StepOutput(loss, forecast, batch, count)

    def reports(self) -> list[Callback]:
        """Scores, figures of forecasts and errors by step."""
        return [ForecastReport()]

    def configure_metrics(self) -> dict[str, Metric | MetricCollection]:
        """Errors over all windows, steps and channels, and what intervals are made from."""
        return {"forecast": ForecastErrors(self.horizon, self.output.probabilistic)}

    def setup(self, stage: str) -> None:
        """Make the metrics, and what intervals are calibrated by in validation."""
        super().setup(stage)
        if "calibration" not in self.metrics:
            fresh = MetricCollection({"scores": Calibration(self.horizon, self.channels)})
            self.metrics["calibration"] = fresh.to(self.device)

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self.metrics["calibration"].reset()

    def validation_step(self, batch: WindowBatch, batch_idx: int) -> StepOutput:  # type: ignore[override]
        """Score a batch; its errors also say how wide intervals have to be."""
        scores = super().validation_step(batch, batch_idx)
        self.metrics["calibration"].update(scores.predictions, scores.targets)
        return scores

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        self.calibration = self.metrics["calibration"].compute()["scores"].cpu()

    calibration: Tensor | None = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what intervals are made from: the errors of the last validation."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["rnn_lab"]["calibration"] = self.calibration

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take what intervals are made from."""
        super().on_load_checkpoint(checkpoint)
        self.calibration = checkpoint.get("rnn_lab", {}).get("calibration")


def steps_and_channels(output_dim: int, horizon: int | None) -> tuple[int, int]:
    """Read a number of outputs as horizon times channels."""
    horizon = output_dim if horizon is None else horizon
    if horizon < 1 or output_dim % horizon:
        raise UserError(f"output_dim must be a multiple of horizon, got {output_dim} and {horizon}")
    return horizon, output_dim // horizon
