"""The base class of all forecasters."""

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from rnn_lab.core.task import StepOutput, Task
from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.calibration import Calibration
from rnn_lab.tasks.forecasting.data import ForecastDataModule
from rnn_lab.tasks.forecasting.metrics import Forecast, ForecastErrors, window_errors
from rnn_lab.tasks.forecasting.outputs import (
    LEVELS,
    Distribution,
    DistributionParams,
    Output,
    Point,
)
from rnn_lab.tasks.forecasting.reports import ForecastReport
from rnn_lab.training.items import ItemReport
from rnn_lab.training.reports import get_datamodule


class ForecastTask(Task):
    """Loss, metrics and calibration of a forecaster.

    A subclass computes the parameters of its output for each step and channel of a batch.

    Attributes:
        output: Output that interprets these parameters.
        horizon: Steps to forecast.
        channels: Target values per step.
        calibration: Histogram of conformal scores of the last validation, see `Calibration`.
    """

    batch_type = WindowBatch
    predictor = "rnn_lab.tasks.forecasting.predictor.ForecastPredictor"
    commands = "predict", "backtest"
    output: Output = Point()
    horizon: int
    channels: int
    calibration: Tensor | None = None

    @abstractmethod
    def predict_params(self, batch: WindowBatch) -> DistributionParams:
        """Compute the parameters of the output, each `(batch, horizon, channels)`."""

    def forecast(self, batch: WindowBatch, levels: tuple[float, ...] = LEVELS) -> Forecast:
        """Forecast the steps after the windows of a batch, whose future values are not read.

        Args:
            batch: Windows.
            levels: Quantile levels to compute, if the output is probabilistic.
        """
        return self._to_forecast(self.predict_params(batch), levels)

    def _to_forecast(
        self, params: DistributionParams, levels: tuple[float, ...] = LEVELS
    ) -> Forecast:
        quantiles = self.output.quantiles(params, levels)
        return Forecast(self.output.point(params), quantiles, levels)

    def step(self, batch: WindowBatch) -> StepOutput:
        """Compute the loss over the observed values; in evaluation also the forecast."""
        params = self.predict_params(batch)
        forecast = None if self.training else self._to_forecast(params)
        return self._step_output(params, batch, forecast)

    def _step_output(
        self, params: DistributionParams, batch: WindowBatch, forecast: Forecast | None
    ) -> StepOutput:
        """Average the loss over the observed values; zero if there are none."""
        observed = ~torch.isnan(batch.future)
        count = observed.sum()  # not a number, for which the CPU would wait
        losses = self.output.loss(params, torch.where(observed, batch.future, 0))
        loss = torch.where(observed, losses, 0).sum() / count.clamp(min=1)
        return StepOutput(loss, forecast, batch, count)

    def items(self, output: StepOutput, batch: WindowBatch) -> dict[str, Any]:
        """Return series, origin and errors of each window, see `window_errors`."""
        rows, windows = batch.rows.cpu().numpy(), get_datamodule(self.trainer).split("test")
        series, firsts = windows.origin(rows)
        origins = [
            windows.panel.times(number, first - 1, 1)[0]
            for number, first in zip(series.tolist(), firsts.tolist(), strict=True)
        ]
        return {
            "series": [windows.panel.ids[number] for number in series],
            "origin": np.array(origins),
            **window_errors(output.predictions, batch),
        }

    def reports(self) -> list[Callback]:
        """Return the reports: scores, forecast plots and errors by step; errors of all windows."""
        return [ForecastReport(), ItemReport()]

    def configure_metrics(self) -> dict[str, Metric | MetricCollection]:
        """Return the errors over all windows, steps and channels."""
        return {"forecast": ForecastErrors(self.horizon, self.output.probabilistic)}

    def check_data(self, data: Any) -> None:
        """Refuse data that are no counts, or are scaled, if the output is a distribution of counts.

        Raises:
            UserError: If the data do not match.
        """
        counts = isinstance(self.output, Distribution) and self.output.counts
        if counts and isinstance(data, ForecastDataModule):
            data.check_counts()

    def setup(self, stage: str) -> None:
        """Set up the metrics and the calibration of intervals in validation."""
        super().setup(stage)
        if "calibration" not in self.metrics:
            metric = MetricCollection({"scores": Calibration(self.horizon, self.channels)})
            self.metrics["calibration"] = metric.to(self.device)

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self.metrics["calibration"].reset()

    def validation_step(  # type: ignore[override]  # Lightning's type of outputs has no tuples
        self, batch: WindowBatch, batch_idx: int
    ) -> StepOutput:
        """Update the validation metrics and the calibration of intervals."""
        output = super().validation_step(batch, batch_idx)
        self.metrics["calibration"].update(output.predictions, output.targets)
        return output

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        self.calibration = self.metrics["calibration"].compute()["scores"].cpu()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the calibration of the last validation."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["rnn_lab"]["calibration"] = self.calibration

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the calibration."""
        super().on_load_checkpoint(checkpoint)
        self.calibration = checkpoint.get("rnn_lab", {}).get("calibration")


def split_output_dim(output_dim: int, horizon: int | None) -> tuple[int, int]:
    """Return horizon and channels whose product is `output_dim`."""
    horizon = output_dim if horizon is None else horizon
    if horizon < 1 or output_dim % horizon:
        raise UserError(f"output_dim must be a multiple of horizon, got {output_dim} and {horizon}")
    return horizon, output_dim // horizon
