"""Backtest: forecasts from every origin of a split, baselines and evaluated intervals."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnn_lab.io.progress import progress
from rnn_lab.tasks.forecasting.baselines import (
    DriftForecaster,
    LastValueForecaster,
    SeasonalNaiveForecaster,
)
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.calibration import (
    Calibration,
    add_intervals,
    central_coverage,
    conformal_scores,
    exact_radius,
    uncalibrated,
)
from rnn_lab.tasks.forecasting.data import ForecastDataModule
from rnn_lab.tasks.forecasting.metrics import INTERVALS, Forecast, ForecastErrors
from rnn_lab.tasks.forecasting.outputs import LEVELS
from rnn_lab.tasks.forecasting.predictor import CHUNK_SIZE, ForecastPredictor, chunks
from rnn_lab.tasks.forecasting.windows import Windows

log = logging.getLogger(__name__)
ROLLING = ", rolling intervals"  # end of the name of a result with such intervals
MAX_SCORES = 1 << 28  # scores kept in memory for rolling intervals: one gigabyte


class Result(NamedTuple):
    """Result of a model.

    Attributes:
        name: Name of the model.
        errors: Its errors over all windows and by step.
    """

    name: str
    errors: ForecastErrors


def baselines(data: ForecastDataModule) -> dict[str, ForecastPredictor]:
    """Return naive baselines by name; the seasonal one only if windows contain a season.

    Args:
        data: The series.
    """
    sizes = {"output_dim": data.output_dim, "horizon": data.horizon}
    tasks = {"last value": LastValueForecaster(**sizes), "drift": DriftForecaster(**sizes)}
    season_length = data.season_length
    if 1 < season_length <= data.input_length:
        name = f"seasonal naive ({season_length})"
        tasks = {name: SeasonalNaiveForecaster(**sizes, season_length=season_length), **tasks}
    return {name: ForecastPredictor(task.eval(), data.reader) for name, task in tasks.items()}


def backtest(
    models: Mapping[str, ForecastPredictor],
    data: ForecastDataModule,
    recalibrate_every: int,
    record: Callable[[str, WindowBatch, Forecast], None] | None = None,
) -> Iterator[Result]:
    """Forecast every window of the test split from what was known at its origin.

    Intervals of point forecasts are calibrated on the validation split (split conformal
    prediction). For the first model they are also recalibrated every `recalibrate_every` windows,
    on as many of the latest windows as validation has whose targets all precede the origin
    (rolling intervals). Intervals for which validation has too few values are undefined (NaN);
    those of the first model are logged.

    Args:
        models: Models by name.
        data: The series.
        recalibrate_every: Windows of a series between recalibrations.
        record: Function that is called with the name of the result, each batch and its forecast.

    Yields:
        The result of each model, in order; that of the rolling intervals follows the first.
    """
    valid = data.split("valid") if data.has_windows("valid") else None
    test = data.split("test")
    size = (len(test) + (0 if valid is None else len(valid))) * data.output_dim
    for number, (name, model) in enumerate(models.items()):
        needs_calibration = not (
            model.task.output.probabilistic or isinstance(model, PeriodicallyRefitForecaster)
        )
        rolling = needs_calibration and number == 0 and size <= MAX_SCORES
        points: list[Tensor] = []
        if needs_calibration:
            calibrate(model, data, valid, name, points if rolling else None)
        if needs_calibration and number == 0:
            assert model.calibration is not None
            for message in uncalibrated(model.calibration, INTERVALS):
                log.warning("%s: %s", name, message)
        recorder = _Recorder(name, data.horizon, record)
        for rows in progress(chunks(test), f"{name} on test"):
            batch, forecast = model.forecast(test, rows)
            recorder.add(batch, forecast)
            if rolling:
                points.append(forecast.point.cpu())
        yield Result(name, recorder.errors)
        if rolling and valid is not None:
            recorder = _Recorder(f"{name}{ROLLING}", data.horizon, record)
            rolling_intervals(torch.cat(points), valid, test, recalibrate_every, recorder)
            yield Result(recorder.name, recorder.errors)


class _Recorder:
    """Evaluate the forecasts of a model, and pass them on."""

    def __init__(
        self,
        name: str,
        horizon: int,
        record: Callable[[str, WindowBatch, Forecast], None] | None,
    ) -> None:
        self.name, self._record = name, record
        self.errors = ForecastErrors(horizon, quantiles=True)

    def add(self, batch: WindowBatch, forecast: Forecast) -> None:
        self.errors.update(forecast, batch)
        if self._record is not None:
            self._record(self.name, batch, forecast)


def calibrate(
    model: ForecastPredictor,
    data: ForecastDataModule,
    windows: Windows | None,
    name: str,
    points: list[Tensor] | None = None,
) -> None:
    """Calibrate the intervals of a model on windows.

    Args:
        model: Model of point forecasts.
        data: The series.
        windows: Held-out windows; None if there are none.
        name: Name of the model in the progress bar.
        points: List to which the forecasts are appended, `(batch, horizon, channels)` each.
    """
    calibration = Calibration(data.horizon, data.channels).to(model.task.device)
    model.calibration = None
    for rows in () if windows is None else progress(chunks(windows), f"{name} on validation"):
        assert windows is not None
        batch, forecast = model.forecast(windows, rows)
        calibration.update(forecast, batch)
        if points is not None:
            points.append(forecast.point.cpu())
    model.calibration = calibration.compute().cpu()


def rolling_intervals(
    points: Tensor, valid: Windows, test: Windows, recalibrate_every: int, recorder: _Recorder
) -> None:
    """Evaluate point forecasts whose intervals are recalibrated on the latest windows.

    Args:
        points: Forecasts of validation, then of test, `(windows, horizon, channels)`.
        valid: Windows of validation.
        test: Windows of test.
        recalibrate_every: Windows of a series between recalibrations.
        recorder: Evaluates the forecasts.
    """
    num_valid = len(valid)
    parts = [_scores(points[:num_valid], valid), _scores(points[num_valid:], test)]
    scores = np.concatenate(parts)
    spans = zip(_time_spans(valid), _time_spans(test), strict=True)
    begins, ends = (np.concatenate(part) for part in spans)
    by_end = np.argsort(ends, kind="stable")
    rows = np.argsort(begins[num_valid:], kind="stable")
    size = recalibrate_every * len(test.panel.ids)
    for block in (rows[i : i + size] for i in range(0, len(rows), size)):
        origin = begins[num_valid + block[0]]
        past_windows = by_end[: np.searchsorted(ends[by_end], origin)]
        radius = exact_radius(scores[past_windows[-num_valid:]], central_coverage(LEVELS))
        for chunk in (block[i : i + CHUNK_SIZE] for i in range(0, len(block), CHUNK_SIZE)):
            batch, point = test[chunk].to(torch.device("cpu")), Forecast(points[num_valid + chunk])
            recorder.add(batch, add_intervals(point, batch.past, radius, LEVELS))


def _scores(points: Tensor, windows: Windows) -> np.ndarray:
    """Compute the conformal scores of all windows, `(windows, horizon, channels)`."""
    parts = [
        conformal_scores(points[rows], windows[rows].to(torch.device("cpu")))
        for rows in chunks(windows)
    ]
    return torch.cat(parts).numpy()


def _time_spans(windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """Return the time of the first target of each window, and that after its last, int64 each."""
    series, origins = windows.origin(np.arange(len(windows)))
    panel = windows.panel
    begins, ends = (
        panel.frequency.to_timestamp(panel.start_times[series], index)
        for index in (origins, origins + windows.horizon)
    )
    return begins.astype(np.int64), ends.astype(np.int64)


class PeriodicallyRefitForecaster(ForecastPredictor):
    """Forecast each period of the test split with a model that was trained on the rows before it.

    Args:
        first: Model that was trained before the test split.
        data: The series.
        every: Steps per period.
        refit: Trains a model; called with the number of the period and the times of its first
            validation and its first test row.
    """

    def __init__(
        self,
        first: ForecastPredictor,
        data: ForecastDataModule,
        every: int,
        refit: Callable[[int, list[str]], ForecastPredictor],
    ) -> None:
        super().__init__(first.task, first.reader, first.calibration)
        panel, test = data.panel, data.split("test")
        frequency, starts = panel.frequency, panel.start_times
        series, origins = test.origin(np.arange(len(test)))
        times = frequency.to_timestamp(starts[series], origins)
        first_window = int(times.argmin())  # series may begin at different times
        number, begin = int(series[first_window]), int(origins[first_window])
        last, _ = frequency.to_index(starts[number], times.max())
        valid_rows = begin - int(data.split("valid").bounds.firsts[number])
        steps = np.arange(begin, int(last) + 1, every)
        self._begins = frequency.to_timestamp(starts[number], steps)
        self._splits = [
            [str(panel.times(number, row, 1)[0]) for row in (max(step - valid_rows, 0), step)]
            for step in steps.tolist()
        ]
        self._refit = refit
        self._models: dict[int, ForecastPredictor] = {0: first}

    def forecast(
        self, windows: Windows, rows: np.ndarray, levels: tuple[float, ...] = LEVELS
    ) -> tuple[WindowBatch, Forecast]:
        """Forecast windows in the scale of their batch, each with the model of its period."""
        series, origins = windows.origin(rows)
        panel = windows.panel
        times = panel.frequency.to_timestamp(panel.start_times[series], origins)
        periods = np.searchsorted(self._begins, times, "right") - 1
        batch = windows[rows].to(self.task.device)
        point = torch.full_like(batch.future, torch.nan)
        quantiles = torch.full((*point.shape, len(levels)), torch.nan, device=point.device)
        for period in np.unique(periods).tolist():
            index = np.flatnonzero(periods == period)
            model = self._model(period)
            values = model.forecast_in_units(_rescaled(windows, model), rows[index], levels)
            point[index], quantiles[index] = (torch.from_numpy(each).to(point) for each in values)
        return batch, Forecast(batch.from_units(point), batch.from_units(quantiles), levels)

    def _model(self, period: int) -> ForecastPredictor:
        if period not in self._models:
            model = self._refit(period, self._splits[period])
            self._models = {0: self._models[0], period: model}  # the previous one is released
        return self._models[period]


@lru_cache(maxsize=2)
def _rescaled(windows: Windows, model: ForecastPredictor) -> Windows:
    """Return the same windows with the scaling of a model."""
    sizes = windows.input_length, windows.horizon, windows.stride
    return Windows(windows.panel, model.reader.scaler, windows.bounds, *sizes)


def to_rows(results: Sequence[Result]) -> Iterator[dict[str, object]]:
    """Convert results to rows of a table: over the whole horizon, then step by step."""
    for name, errors in results:
        means = {key: float(value) for key, value in errors.compute().items()}
        yield {"model": name, "step": "all", **means}
    for name, errors in results:
        columns = {key: value.tolist() for key, value in errors.by_step().items()}
        for step in range(len(next(iter(columns.values())))):
            yield {
                "model": name,
                "step": step + 1,
                **{key: value[step] for key, value in columns.items()},
            }
