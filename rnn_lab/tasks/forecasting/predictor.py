"""Forecasts of what comes after the last row of series."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from rnn_lab.core.predictor import Predictor, check_data_sizes
from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.metrics import INTERVALS, Calibration, Forecast, ends, widened
from rnn_lab.tasks.forecasting.outputs import LEVELS, Quantiles
from rnn_lab.tasks.forecasting.reader import SeriesReader
from rnn_lab.tasks.forecasting.task import ForecastTask
from rnn_lab.tasks.forecasting.windows import Windows

if TYPE_CHECKING:
    import pandas as pd


log = logging.getLogger(__name__)
MAX_BATCH_WINDOWS = 256


class ForecastPredictor(Predictor):
    """Forecasts the future of series, in their units and times.

    Args:
        task: A trained forecaster.
        reader: Reads series as in training, and writes forecasts.
        calibration: Of a forecaster of points, how far it strayed in validation, from which
            intervals are made; None: it gives none.
    """

    def __init__(
        self, task: ForecastTask, reader: SeriesReader, calibration: Tensor | None = None
    ) -> None:
        self.task = task
        self.reader = reader
        self.calibration = calibration

    @classmethod
    def from_checkpoint(cls, task: Any, data: dict[str, Any]) -> Self:
        """Read how series are read, and the errors of the last validation, if there are any."""
        reader = SeriesReader.from_state_dict(data["series"])
        steps = {"input_length": range(reader.input_length), "horizon": range(reader.horizon)}
        check_data_sizes(task, **steps)
        found = task.calibration
        if found is not None:
            wanted = Calibration(reader.horizon, len(reader.targets)).histogram
            form = wanted.shape, wanted.dtype
            if not torch.is_tensor(found) or (found.shape, found.dtype) != form:
                raise UserError("the errors in validation are of other sizes")
        return cls(task, reader, found)

    def predict(
        self,
        frame: "pd.DataFrame",
        intervals: Sequence[float] | None = None,
        *,
        source: str = "the frame",
    ) -> "pd.DataFrame":
        """Forecast the steps after the last observed row of each series.

        Args:
            frame: Series with the columns of training; rows at the end without targets tell what
                is known of the future.
            intervals: Central intervals to give, such as 0.8; None: 0.8 and 0.95 where the model
                can say them.
            source: What error messages call the frame.

        Returns:
            A row for each step, in the layout of the input: the time, and for each target its
            forecast and the bounds of its intervals, such as `OT_lower_80` and `OT_upper_80`.

        Raises:
            UserError: If the frame is not as in training, a series has too few rows or a target
                without a value among those seen, or an interval is asked for that the model
                cannot give.
        """
        wanted = self._checked(intervals)
        _check_frame(frame)
        windows = self.reader.windows(frame, source)
        for notice in windows.notices:
            log.info("%s", notice)
        levels = tuple(sorted({0.5, *(level for each in wanted for level in ends(each))}))
        for rows in chunks(windows):
            _check_seen(windows, rows)
        parts = [self.values(windows, rows, levels) for rows in chunks(windows)]
        point, quantiles = (np.concatenate(part) for part in zip(*parts, strict=True))
        if np.isinf(quantiles).any():
            log.info("validation was too short to say how far the widest intervals reach")
        columns = {}
        for each in wanted:
            for side, level in zip(("lower", "upper"), ends(each), strict=True):
                columns[f"{side}_{100 * each:g}"] = quantiles[..., levels.index(level)]
        return self.reader.frame(windows, point, columns)

    def _checked(self, intervals: Sequence[float] | None) -> Sequence[float]:
        """The intervals to give.

        Raises:
            UserError: If one has no meaning, or the model cannot give it.
        """
        if not self.has_intervals:
            if intervals:
                raise UserError("the checkpoint has no validation to make intervals from")
            return ()
        output = self.task.output
        for each in intervals or ():
            if not 0 < each < 1:
                raise UserError(f"intervals must lie between 0 and 1, got {each}")
            if isinstance(output, Quantiles) and ends(each)[0] < output.levels[0]:
                widest = round(1 - 2 * output.levels[0], 6)
                raise UserError(f"the model knows intervals up to {widest}, got {each}")
        known: tuple[float, ...] = INTERVALS
        if isinstance(output, Quantiles):
            known = tuple(each for each in INTERVALS if ends(each)[0] >= output.levels[0])
        return known if intervals is None else intervals

    @property
    def has_intervals(self) -> bool:
        """Whether intervals can be given: by the model, or by its errors in validation."""
        return self.calibration is not None or self.task.output.probabilistic

    @torch.inference_mode()
    def forecast(
        self, windows: Windows, rows: np.ndarray, levels: tuple[float, ...] = LEVELS
    ) -> tuple[WindowBatch, Forecast]:
        """Forecast some windows, in the scale of their batch.

        Args:
            windows: Windows of series.
            rows: Which of them.
            levels: Probabilities whose quantiles are wanted, if they can be said.

        Returns:
            The batch and the forecast, both where the model is.
        """
        batch = windows[rows].to(self.task.device)
        forecast = self.task.forecast(batch, levels)
        if forecast.quantiles is None and self.calibration is not None:
            forecast = widened(forecast, batch.past, self.calibration, levels)
        return batch, forecast

    def values(
        self, windows: Windows, rows: np.ndarray, levels: tuple[float, ...] = LEVELS
    ) -> tuple[np.ndarray, np.ndarray]:
        """Forecast some windows, in the user's units.

        Returns:
            Points `(rows, horizon, channels)`, and quantiles `(rows, horizon, channels, levels)`,
            NaN where they cannot be said.
        """
        batch, forecast = self.forecast(windows, rows, levels)
        scale, location = batch.scale[:, None], batch.location[:, None]
        point = forecast.point * scale + location
        quantiles = torch.full((*point.shape, len(levels)), torch.nan)
        if forecast.quantiles is not None:
            quantiles = forecast.quantiles * scale.unsqueeze(-1) + location.unsqueeze(-1)
        return point.cpu().numpy(), quantiles.cpu().numpy()


def _check_frame(frame: "pd.DataFrame") -> None:
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise UserError(f"predict takes a pandas frame, got {type(frame).__name__}")
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise UserError(f"the frame has the column {twice!r} twice")


def _check_seen(windows: Windows, rows: np.ndarray) -> None:
    """Refuse targets of which nothing is seen; tell of those that end before the others."""
    missing = windows[rows].past.isnan()
    series, _ = windows.origin(rows)
    for row, channel in missing.all(1).nonzero()[:1].tolist():
        name, of = windows.panel.targets[channel], windows.panel.ids[series[row]]
        where = f" of {of!r}" if of else ""
        seen = windows.input_length
        raise UserError(f"{name!r}{where} has no value among the last {seen} rows, which are seen")
    for row, channel in missing[:, -1].nonzero().tolist():
        name, of = windows.panel.targets[channel], windows.panel.ids[series[row]]
        log.info("%s has no value in the last row%s", repr(name), f" of {of!r}" if of else "")


def chunks(windows: Windows) -> list[np.ndarray]:
    """Cut all windows into batches, in order."""
    rows = np.arange(len(windows))
    return [rows[i : i + MAX_BATCH_WINDOWS] for i in range(0, len(rows), MAX_BATCH_WINDOWS)]
