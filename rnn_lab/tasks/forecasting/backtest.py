"""Forecasts from every origin of a split, against simple baselines, their intervals put to test."""

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
from rnn_lab.tasks.forecasting.data import ForecastDataModule
from rnn_lab.tasks.forecasting.metrics import (
    Calibration,
    Forecast,
    ForecastErrors,
    deviation,
    with_reach,
)
from rnn_lab.tasks.forecasting.outputs import LEVELS
from rnn_lab.tasks.forecasting.predictor import ForecastPredictor, chunks
from rnn_lab.tasks.forecasting.windows import Windows

SCORES_LIMIT = 1 << 28  # errors kept for intervals that are calibrated anew: a gigabyte


class Result(NamedTuple):
    """What a model reached.

    Attributes:
        name: The model.
        errors: Over all windows and by step.
    """

    name: str
    errors: ForecastErrors


def baselines(data: ForecastDataModule) -> dict[str, ForecastPredictor]:
    """What any forecaster has to be better than; without those that the windows do not suffice for.

    Args:
        data: The series.
    """
    sizes = {"output_dim": data.output_dim, "horizon": data.horizon}
    tasks = {"last value": LastValueForecaster(**sizes), "drift": DriftForecaster(**sizes)}
    if 1 < data.season <= data.input_length:
        name = f"seasonal naive ({data.season})"
        tasks = {name: SeasonalNaiveForecaster(**sizes, season=data.season), **tasks}
    return {name: ForecastPredictor(task.eval(), data.reader) for name, task in tasks.items()}


def backtest(
    models: Mapping[str, ForecastPredictor],
    data: ForecastDataModule,
    renew: int,
) -> Iterator[Result]:
    """Forecast every window of the test split, each from what was known at its origin.

    Intervals of points come from the errors on the validation split (split conformal prediction):
    once for all, and for the first model also anew after every `renew` windows, from as many of
    the latest windows as validation has whose targets all lie before (rolling).

    Args:
        models: What forecasts, by name.
        data: The series.
        renew: Windows of a series until intervals are calibrated anew.

    Yields:
        The result of each model, in order, that of the rolling intervals after the first.
    """
    valid, test = data.split("valid"), data.split("test")
    size = (len(valid) + len(test)) * data.output_dim
    for number, (name, model) in enumerate(models.items()):
        points = not (
            model.task.output.probabilistic or isinstance(model, PeriodicallyRefitForecaster)
        )
        keep = points and number == 0 and size <= SCORES_LIMIT
        seen: list[Tensor] = []
        if points:
            calibrate(model, valid, name, seen if keep else None)
        errors = ForecastErrors(data.horizon, quantiles=True)
        for rows in progress(chunks(test), f"{name} on test"):
            batch, forecast = model.forecast(test, rows)
            errors.update(forecast, batch)
            if keep:
                seen.append(forecast.point.cpu())
        yield Result(name, errors)
        if keep:
            found = rolling(torch.cat(seen), valid, test, renew)
            yield Result(f"{name}, rolling intervals", found)


def calibrate(
    model: ForecastPredictor, windows: Windows, name: str, seen: list[Tensor] | None = None
) -> None:
    """Measure how far a model strays on some windows, and make its intervals from that.

    Args:
        model: Forecasts points.
        windows: What is forecast.
        name: Of the model, for people who wait.
        seen: Takes the forecasts, `(batch, horizon, channels)` each, if they are wanted.
    """
    calibration = Calibration(windows.horizon, len(windows.panel.targets)).to(model.task.device)
    model.calibration = None
    for rows in progress(chunks(windows), f"{name} on validation"):
        batch, forecast = model.forecast(windows, rows)
        calibration.update(forecast, batch)
        if seen is not None:
            seen.append(forecast.point.cpu())
    model.calibration = calibration.compute().cpu()


def rolling(points: Tensor, valid: Windows, test: Windows, renew: int) -> ForecastErrors:
    """Measure points whose intervals are calibrated anew from the latest windows.

    Args:
        points: Forecasts of validation, then of test, `(windows, horizon, channels)`.
        valid: The windows of validation.
        test: The windows of test.
        renew: Windows of a series until intervals are calibrated anew.
    """
    first = len(valid)
    scores = np.concatenate([_scores(points[:first], valid), _scores(points[first:], test)])
    begins, ends = (np.concatenate(part) for part in zip(_times(valid), _times(test), strict=True))
    order = np.argsort(ends, kind="stable")
    errors = ForecastErrors(test.horizon, quantiles=True)
    rows = np.argsort(begins[first:], kind="stable")
    size = renew * len(test.panel.ids)
    for block in (rows[i : i + size] for i in range(0, len(rows), size)):
        seen = order[: np.searchsorted(ends[order], begins[first + block[0]])]
        reach = _reaches(scores[seen[-first:]])
        for some in (block[i : i + 256] for i in range(0, len(block), 256)):
            batch, point = test[some].to(torch.device("cpu")), Forecast(points[first + some])
            errors.update(with_reach(point, batch.past, reach, LEVELS), batch)
    return errors


def _scores(points: Tensor, windows: Windows) -> np.ndarray:
    """Absolute errors over the deviation of what was seen, `(windows, horizon, channels)`."""
    parts = []
    for rows in chunks(windows):
        batch = windows[rows].to(torch.device("cpu"))
        parts.append((points[rows] - batch.future).abs() / deviation(batch.past))
    return torch.cat(parts).numpy()


def _times(windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """The time of the first target of each window, and that after its last, int64 each."""
    series, origins = windows.origin(np.arange(len(windows)))
    begins, ends = (
        windows.panel.grid.at(windows.panel.begins[series], places)
        for places in (origins, origins + windows.horizon)
    )
    return begins.astype(np.int64), ends.astype(np.int64)


def _reaches(scores: np.ndarray) -> Tensor:
    """How far values stray at most, for the quantiles at `LEVELS`, `(levels, horizon, channels)`.

    Args:
        scores: Errors in deviations of their windows, `(windows, horizon, channels)`.
    """
    ordered = np.sort(scores, axis=0)  # NaN last
    count = (~np.isnan(scores)).sum(0)
    found: dict[float, np.ndarray] = {}  # two levels share a reach, one on either side
    for level in LEVELS:
        inside = round(abs(2 * level - 1), 6)
        if inside not in found:
            rank = np.ceil((count + 1) * inside).astype(np.int64)
            place = np.clip(rank - 1, 0, max(len(scores) - 1, 0))
            values = np.take_along_axis(ordered, place[None], 0)[0]
            found[inside] = np.where(rank > count, np.inf, values).astype(np.float32)
    return torch.from_numpy(np.stack([found[round(abs(2 * level - 1), 6)] for level in LEVELS]))


class PeriodicallyRefitForecaster(ForecastPredictor):
    """Forecasts each stretch of the test split with a model that was trained up to its begin.

    Args:
        first: The model that was trained before the test split.
        data: The series.
        every: Steps of a stretch.
        refit: Trains anew: called with the number of a stretch and with the times of its first
            validation and its first test row, it gives the model.
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
        series, origins = test.origin(np.arange(len(test)))
        times = panel.grid.at(panel.begins[series], origins)
        first_window = int(times.argmin())  # series may begin at different times
        number, begin = int(series[first_window]), int(origins[first_window])
        last, _ = panel.grid.place(panel.begins[number], times.max())
        valid = begin - int(data.split("valid").bounds.firsts[number])
        steps = np.arange(begin, int(last) + 1, every)
        self._begins = panel.grid.at(panel.begins[number], steps)
        self._splits = [
            [str(panel.times(number, row, 1)[0]) for row in (max(step - valid, 0), step)]
            for step in steps.tolist()
        ]
        self._refit = refit
        self._models: dict[int, ForecastPredictor] = {0: first}

    def forecast(
        self, windows: Windows, rows: np.ndarray, levels: tuple[float, ...] = LEVELS
    ) -> tuple[WindowBatch, Forecast]:
        """Forecast some windows, each by the model of its stretch, in the scale of the batch."""
        series, origins = windows.origin(rows)
        times = windows.panel.grid.at(windows.panel.begins[series], origins)
        stretches = np.searchsorted(self._begins, times, "right") - 1
        batch = windows[rows].to(self.task.device)
        point = torch.full_like(batch.future, torch.nan)
        quantiles = torch.full((*point.shape, len(levels)), torch.nan, device=point.device)
        for stretch in np.unique(stretches).tolist():
            mine = np.flatnonzero(stretches == stretch)
            model = self._model(stretch)
            found = model.values(_rescaled(windows, model), rows[mine], levels)
            location, scale = batch.location[mine, None], batch.scale[mine, None]
            points, bounds = (torch.from_numpy(values).to(point) for values in found)
            point[mine] = (points - location) / scale
            quantiles[mine] = (bounds - location.unsqueeze(-1)) / scale.unsqueeze(-1)
        return batch, Forecast(point, quantiles, levels)

    def _model(self, stretch: int) -> ForecastPredictor:
        if stretch not in self._models:
            found = self._refit(stretch, self._splits[stretch])
            self._models = {0: self._models[0], stretch: found}  # the one before is done with
        return self._models[stretch]


@lru_cache(maxsize=2)
def _rescaled(windows: Windows, model: ForecastPredictor) -> Windows:
    """The same windows in the scale that a model was trained in."""
    sizes = windows.input_length, windows.horizon, windows.stride
    return Windows(windows.panel, model.reader.scaler, windows.bounds, *sizes)


def rows_of(results: Sequence[Result]) -> Iterator[dict[str, object]]:
    """Write results as rows of a table: over the whole horizon, then step by step."""
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
