"""Report of a forecaster: scores, plots of forecasts, errors by step and residuals."""

import json
import math
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from rnn_lab.core.task import Task
from rnn_lab.errors import UserError
from rnn_lab.io.atomic import atomic_write
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.calibration import conformalize
from rnn_lab.tasks.forecasting.data import ForecastDataModule
from rnn_lab.tasks.forecasting.metrics import INTERVALS, Forecast, interval_levels
from rnn_lab.tasks.forecasting.outputs import LEVELS
from rnn_lab.training.reports import (
    evenly_spaced,
    get_datamodule,
    is_dry_run,
    log_table,
    report_path,
    save_figure,
    should_write,
)

EDGES = np.linspace(-6, 6, 241)  # bins of residuals in training std; residuals beyond are clipped

MAX_WINDOWS = 6  # whose numbers are saved
COLUMNS = ("series", "time", "step", "forecast", "actual")


class ForecastReport(Callback):
    """Write scores and plots of forecasts.

    After a test it writes `scores.json` with all metrics, also by step of the horizon, and plots
    `forecasts.png` (windows evenly spaced over the split, with the intervals that `predict` gives),
    `errors_by_step.png` and `residuals.png`. After a fit it plots `forecasts.valid.png`. The
    numbers of the first 6 plotted windows are in `forecasts.json` and `forecasts.valid.json`. It
    does nothing for tasks other than forecasting, and without a data module.

    Args:
        panels: Number of windows to plot.

    Raises:
        UserError: If `panels` is less than 1.
    """

    def __init__(self, panels: int = 6) -> None:
        if panels < 1:
            raise UserError(f"ForecastReport: panels must be at least 1, got {panels}")
        self.panels = panels
        self._counts: dict[int, torch.Tensor] = {}  # histograms of residuals by step
        self._validated = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validated = True

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._validated and _applies(trainer, pl_module) and should_write(trainer):
            self._plot(trainer, pl_module, "valid", "forecasts.valid.png")

    def on_test_start(self, trainer: Trainer, pl_module: Any) -> None:
        if _applies(trainer, pl_module):
            steps = sorted({0, (pl_module.horizon - 1) // 2, pl_module.horizon - 1})
            empty = torch.zeros(len(EDGES) - 1, device=pl_module.device)
            self._counts = {step: empty.clone() for step in steps}

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if not _applies(trainer, pl_module):
            return
        residual = outputs.targets.future - outputs.predictions.point
        for step, counts in self._counts.items():
            values = residual[:, step].flatten()
            values = values[~values.isnan()].clamp(EDGES[0], EDGES[-1])
            bins = ((values - EDGES[0]) / (EDGES[1] - EDGES[0])).long().clamp(max=len(counts) - 1)
            counts += torch.bincount(bins, minlength=len(counts))

    def on_test_end(self, trainer: Trainer, pl_module: Any) -> None:
        if not _applies(trainer, pl_module):
            return
        counts = {step: _reduce(trainer, counts) for step, counts in self._counts.items()}
        errors = pl_module.metrics["test"]["forecast"]
        scores, by_step = errors.compute(), errors.by_step()  # on every rank: it synchronizes
        if not should_write(trainer):
            return
        from rnn_lab.tasks.forecasting.plots import plot_errors_by_step, plot_residuals

        content = {
            "scores": {name: _to_json(value) for name, value in scores.items()},
            "by_step": {name: [_to_json(v) for v in value] for name, value in by_step.items()},
        }
        text = json.dumps(content, indent=2)
        report_path(trainer, "scores.json").write_text(text + "\n", encoding="utf-8")
        mse = {type(pl_module).__name__: by_step["mse"].cpu().numpy()}
        save_figure(plot_errors_by_step(mse), trainer, "errors_by_step.png")
        histograms = {f"step {step + 1}": count for step, count in counts.items()}
        save_figure(plot_residuals(histograms, EDGES), trainer, "residuals.png")
        self._plot(trainer, pl_module, "test", "forecasts.png")

    def _plot(self, trainer: Trainer, task: Any, split: str, name: str) -> None:
        from rnn_lab.tasks.forecasting.plots import plot_forecasts

        windows = get_datamodule(trainer).split(split)
        rows = evenly_spaced(len(windows), self.panels)
        batch = windows[rows].to(task.device)
        training = task.training
        with torch.no_grad():
            task.eval()
            forecast = task.forecast(batch)
            task.train(training)
        if split == "test" and forecast.quantiles is None and task.calibration is not None:
            forecast = conformalize(forecast, batch.past, task.calibration, LEVELS)
        panels = to_panels(windows, rows, batch, forecast)
        save_figure(plot_forecasts(panels), trainer, name)
        content = {"windows": [_saved_window(panel) for panel in panels[:MAX_WINDOWS]]}
        with atomic_write(report_path(trainer, name.replace(".png", ".json"))) as file:
            json.dump(content, file, ensure_ascii=False)
        log_table(trainer, f"{split}/forecasts", COLUMNS, to_rows(panels))


def to_panels(windows: Any, rows: np.ndarray, batch: WindowBatch, forecast: Forecast) -> list[Any]:
    """Convert forecasts to panels in the original units, cycling through the channels.

    Args:
        windows: Windows of a split.
        rows: Indices of the windows in the batch.
        batch: These windows.
        forecast: Their forecast.

    Returns:
        Panels for `plot_forecasts`.
    """
    from rnn_lab.tasks.forecasting.plots import ForecastPanel

    past, future, point = (
        batch.to_units(values).cpu().numpy()
        for values in (batch.past, batch.future, forecast.point)
    )
    bounds = {}
    for coverage in INTERVALS if forecast.quantiles is not None else ():
        pair = (forecast.quantile(level) for level in interval_levels(coverage))
        bounds[coverage] = tuple(batch.to_units(values).cpu().numpy() for values in pair)
    series, origins = windows.origin(rows)
    panel, panels = windows.panel, []
    for i, (number, origin) in enumerate(zip(series.tolist(), origins.tolist(), strict=True)):
        channel = i % len(panel.targets)
        bands = {}
        for coverage, (low, high) in bounds.items():
            if not np.isnan(low[i, :, channel]).any():
                bands[coverage] = low[i, :, channel], high[i, :, channel]
        panels.append(
            ForecastPanel(
                title=" ".join(filter(None, [panel.ids[number], panel.targets[channel]])),
                past_times=panel.times(number, origin - windows.input_length, windows.input_length),
                past=past[i, :, channel],
                times=windows.times(int(rows[i])),
                future=future[i, :, channel],
                point=point[i, :, channel],
                bands=bands,
            )
        )
    return panels


def to_rows(panels: list[Any]) -> list[list[Any]]:
    """Convert panels to rows of a table with the columns `COLUMNS`, one per forecast step."""
    return [
        [panel.title, str(time), step, _to_json(forecast), _to_json(value)]
        for panel in panels
        for step, (time, forecast, value) in enumerate(
            zip(panel.times, panel.point, panel.future, strict=True), start=1
        )
    ]


def _saved_window(panel: Any) -> dict[str, Any]:
    """Return the numbers of a plotted window; of its input as much as is plotted."""
    shown = slice(-min(len(panel.past), 2 * len(panel.times)), None)
    return {
        "series": panel.title,
        "past_times": _saved_times(panel.past_times[shown]),
        "past": [*map(_to_json, panel.past[shown])],
        "times": _saved_times(panel.times),
        "future": [*map(_to_json, panel.future)],
        "forecast": [*map(_to_json, panel.point)],
        "intervals": {
            str(coverage): [[*map(_to_json, bound)] for bound in bounds]
            for coverage, bounds in panel.bands.items()
        },
    }


def _saved_times(times: np.ndarray) -> list[Any]:
    if np.issubdtype(times.dtype, np.datetime64):
        return times.astype("datetime64[s]").astype(str).tolist()
    return times.tolist()


def _applies(trainer: Trainer, task: LightningModule) -> bool:
    """Return whether there is something to report, the same on every process."""
    if is_dry_run(trainer) or trainer.sanity_checking:
        return False
    forecasts = isinstance(task, Task) and issubclass(task.batch_type, WindowBatch)
    return forecasts and isinstance(get_datamodule(trainer), ForecastDataModule)


def _reduce(trainer: Trainer, counts: torch.Tensor) -> np.ndarray:
    if trainer.world_size > 1:
        torch.distributed.all_reduce(counts)
    return counts.cpu().numpy()


def _to_json(value: torch.Tensor | np.floating[Any]) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
