"""Forecast the steps after the last row of series."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from rnn_lab.core.predictor import Predictor, check_data_sizes
from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.calibration import Calibration, conformalize, uncalibrated
from rnn_lab.tasks.forecasting.metrics import INTERVALS, Forecast, interval_levels
from rnn_lab.tasks.forecasting.outputs import LEVELS, Quantiles
from rnn_lab.tasks.forecasting.reader import SeriesReader
from rnn_lab.tasks.forecasting.task import ForecastTask
from rnn_lab.tasks.forecasting.windows import Windows

if TYPE_CHECKING:
    import pandas as pd


log = logging.getLogger(__name__)
CHUNK_SIZE = 256  # windows per batch


class ForecastPredictor(Predictor):
    """Forecast series in their original units and times.

    Args:
        task: A trained forecaster.
        reader: Reads series as in training, and writes forecasts.
        calibration: Histogram of conformal scores in validation, which gives intervals to point
            forecasts; None: point forecasts have no intervals.
    """

    def __init__(
        self, task: ForecastTask, reader: SeriesReader, calibration: Tensor | None = None
    ) -> None:
        self.task = task
        self.reader = reader
        self.calibration = calibration

    @classmethod
    def from_checkpoint(cls, task: Any, data: dict[str, Any]) -> Self:
        """Restore the reader, and the calibration if there is one."""
        reader = SeriesReader.from_state_dict(data["series"])
        steps = {"input_length": range(reader.input_length), "horizon": range(reader.horizon)}
        check_data_sizes(task, **steps)
        calibration = task.calibration
        if calibration is not None:
            expected = Calibration(reader.horizon, len(reader.targets)).histogram
            if not torch.is_tensor(calibration) or (
                (calibration.shape, calibration.dtype) != (expected.shape, expected.dtype)
            ):
                raise UserError("the calibration has the wrong shape or type")
        return cls(task, reader, calibration)

    def predict(
        self,
        frame: "pd.DataFrame",
        intervals: Sequence[float] | None = None,
        *,
        source: str = "the frame",
    ) -> "pd.DataFrame":
        """Forecast the steps after the last observed row of each series.

        Args:
            frame: Series with the columns of training; rows at the end without targets contain
                future covariates.
            intervals: Coverage of central prediction intervals, such as 0.8; None: 0.8 and 0.95 if
                the model provides intervals.
            source: Name of the frame in error messages.

        Returns:
            A row per step in the format of the input: the time, and for each target its forecast
            and the bounds of its intervals, such as `OT_lower_80` and `OT_upper_80`. Bounds are NaN
            if validation was too short to calibrate the interval.

        Raises:
            UserError: If the frame does not have the format of training, a series has too few rows
                or a target without a value in its input window, or the model does not provide an
                interval.
        """
        coverages = self._check_intervals(intervals)
        _check_frame(frame)
        windows = self.reader.windows(frame, source)
        for notice in windows.notices:
            log.info("%s", notice)
        bounds = {coverage: interval_levels(coverage) for coverage in coverages}
        levels = tuple(sorted({0.5, *(level for pair in bounds.values() for level in pair)}))
        batches = chunks(windows, self.batch_size)
        for rows in batches:
            _check_observed(windows, rows)
        parts = [self.forecast_in_units(windows, rows, levels) for rows in batches]
        point, quantiles = (np.concatenate(part) for part in zip(*parts, strict=True))
        if not self.task.output.probabilistic and self.calibration is not None:
            for message in uncalibrated(self.calibration, coverages):
                log.warning("%s", message)
        columns = {}
        for coverage, pair in bounds.items():
            for side, level in zip(("lower", "upper"), pair, strict=True):
                columns[f"{side}_{100 * coverage:g}"] = quantiles[..., levels.index(level)]
        return self.reader.to_frame(windows, point, columns)

    def _check_intervals(self, intervals: Sequence[float] | None) -> Sequence[float]:
        """Return the coverages of the intervals to compute.

        Raises:
            UserError: If one is invalid, or the model does not provide it.
        """
        if not self.has_intervals:
            if intervals:
                raise UserError(
                    "this checkpoint has no calibration for intervals: train with validation, or "
                    "with a probabilistic output"
                )
            return ()
        output = self.task.output
        lowest = output.levels[0] if isinstance(output, Quantiles) else 0.0
        for coverage in intervals or ():
            if not 0 < coverage < 1:
                raise UserError(f"intervals must be between 0 and 1, got {coverage}")
            if interval_levels(coverage)[0] < lowest:
                widest = round(1 - 2 * lowest, 6)
                raise UserError(f"the model predicts intervals up to {widest}, got {coverage}")
        if intervals is None:
            return [each for each in INTERVALS if interval_levels(each)[0] >= lowest]
        return intervals

    @property
    def has_intervals(self) -> bool:
        """Whether the model provides intervals: by its output, or by a calibration."""
        return self.calibration is not None or self.task.output.probabilistic

    @torch.inference_mode()
    def forecast(
        self, windows: Windows, rows: np.ndarray, levels: tuple[float, ...] = LEVELS
    ) -> tuple[WindowBatch, Forecast]:
        """Forecast windows in the scale of their batch.

        Args:
            windows: Windows of series.
            rows: Indices of the windows to forecast.
            levels: Quantile levels, computed if the model provides intervals.

        Returns:
            The batch and the forecast, both on the device of the model.
        """
        batch = windows[rows].to(self.task.device)
        with self.precision.forward_context():
            forecast = self.task.forecast(batch, levels)
        if forecast.quantiles is None and self.calibration is not None:
            forecast = conformalize(forecast, batch.past, self.calibration, levels)
        return batch, forecast

    def forecast_in_units(
        self, windows: Windows, rows: np.ndarray, levels: tuple[float, ...] = LEVELS
    ) -> tuple[np.ndarray, np.ndarray]:
        """Forecast windows in the original units.

        Returns:
            Point forecasts `(rows, horizon, channels)`, and quantiles
            `(rows, horizon, channels, levels)`, NaN if the model provides none.
        """
        batch, forecast = self.forecast(windows, rows, levels)
        point = batch.to_units(forecast.point)
        quantiles = torch.full((*point.shape, len(levels)), torch.nan)
        if forecast.quantiles is not None:
            quantiles = batch.to_units(forecast.quantiles)
        return point.cpu().numpy(), quantiles.cpu().numpy()


def _check_frame(frame: "pd.DataFrame") -> None:
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise UserError(f"predict takes a pandas DataFrame, got {type(frame).__name__}")
    if not frame.columns.is_unique:
        duplicate = frame.columns[frame.columns.duplicated()][0]
        raise UserError(f"the frame has duplicate columns {duplicate!r}")


def _check_observed(windows: Windows, rows: np.ndarray) -> None:
    """Refuse targets without a value in the input window; log those that end early."""
    missing = windows[rows].past.isnan()
    series, _ = windows.origin(rows)
    for row, channel in missing.all(1).nonzero()[:1].tolist():
        name, of_series = windows.panel.targets[channel], _of_series(windows, series[row])
        raise UserError(
            f"target {name!r}{of_series} has no value in the last {windows.input_length} rows, "
            "which are the input of the model"
        )
    for row, channel in missing[:, -1].nonzero().tolist():
        name, of_series = windows.panel.targets[channel], _of_series(windows, series[row])
        log.info("target %r%s has no value in the last row", name, of_series)


def _of_series(windows: Windows, series: int) -> str:
    name = windows.panel.ids[series]
    return f" of {name!r}" if name else ""


def chunks(windows: Windows, size: int | None = None) -> list[np.ndarray]:
    """Return the indices of all windows in batches of `size` (None: `CHUNK_SIZE`), in order."""
    rows, size = np.arange(len(windows)), size or CHUNK_SIZE
    return [rows[i : i + size] for i in range(0, len(rows), size)]
