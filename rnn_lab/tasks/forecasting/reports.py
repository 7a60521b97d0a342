"""What a forecaster leaves to look at: forecasts over what came, errors by step, residuals."""

import json
import math
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.metrics import INTERVALS, Forecast, ends
from rnn_lab.training.reports import get_datamodule, report_path, save_figure, should_write

EDGES = np.linspace(-6, 6, 241)  # of residuals, in training deviations; what lies beyond is cut


class ForecastReport(Callback):
    """Show what a model forecasts.

    A test leaves `scores.json` with all that was measured, also for each step of the horizon, and
    draws `forecasts.png` (some windows of the split, evenly spread over it, with the intervals
    that the model gives), `errors_by_step.png` and `residuals.png`. A fit draws
    `forecasts.valid.png`. A task that does not forecast is passed over, and so is data given as
    loaders.

    Args:
        panels: Windows drawn.

    Raises:
        UserError: If there is none to draw.
    """

    def __init__(self, panels: int = 6) -> None:
        if panels < 1:
            raise UserError(f"ForecastReport: panels must be at least 1, got {panels}")
        self.panels = panels
        self._counts: dict[int, torch.Tensor] = {}  # residuals at some steps, by bin
        self._validated = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validated = True

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._validated and _reports(trainer, pl_module) and should_write(trainer):
            self._draw(trainer, pl_module, "valid", "forecasts.valid.png")

    def on_test_start(self, trainer: Trainer, pl_module: Any) -> None:
        if _reports(trainer, pl_module):
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
        if not _reports(trainer, pl_module):
            return
        residual = outputs.targets.future - outputs.predictions.point
        for step, counts in self._counts.items():
            values = residual[:, step].flatten()
            values = values[~values.isnan()].clamp(EDGES[0], EDGES[-1])
            bins = ((values - EDGES[0]) / (EDGES[1] - EDGES[0])).long().clamp(max=len(counts) - 1)
            counts += torch.bincount(bins, minlength=len(counts))

    def on_test_end(self, trainer: Trainer, pl_module: Any) -> None:
        if not _reports(trainer, pl_module):
            return
        counts = {step: _summed(trainer, counts) for step, counts in self._counts.items()}
        errors = pl_module.metrics["test"]["forecast"]
        scores, by_step = errors.compute(), errors.by_step()  # on every rank: it gathers
        if not should_write(trainer):
            return
        from rnn_lab.tasks.forecasting.plots import errors_by_step, residuals

        found = {
            "scores": {name: _number(value) for name, value in scores.items()},
            "by_step": {name: [_number(v) for v in value] for name, value in by_step.items()},
        }
        text = json.dumps(found, indent=2)
        report_path(trainer, "scores.json").write_text(text + "\n", encoding="utf-8")
        mse = {type(pl_module).__name__: by_step["mse"].cpu().numpy()}
        save_figure(errors_by_step(mse), trainer, "errors_by_step.png")
        named = {f"step {step + 1}": count for step, count in counts.items()}
        save_figure(residuals(named, EDGES), trainer, "residuals.png")
        self._draw(trainer, pl_module, "test", "forecasts.png")

    def _draw(self, trainer: Trainer, task: Any, split: str, name: str) -> None:
        from rnn_lab.tasks.forecasting.plots import outlooks

        windows = get_datamodule(trainer).split(split)
        rows = np.unique(np.linspace(0, len(windows) - 1, self.panels).astype(np.int64))
        batch = windows[rows].to(task.device)
        training = task.training
        with torch.no_grad():
            task.eval()
            forecast = task.forecast(batch)
            task.train(training)
        save_figure(outlooks(to_panels(windows, rows, batch, forecast)), trainer, name)


def to_panels(windows: Any, rows: np.ndarray, batch: WindowBatch, forecast: Forecast) -> list[Any]:
    """Bring windows into the user's units to draw them, each with another channel.

    Args:
        windows: The windows of a split.
        rows: Which of them.
        batch: These windows.
        forecast: Their forecast.

    Returns:
        What `outlooks` draws.
    """
    from rnn_lab.tasks.forecasting.plots import ForecastPanel

    series, origins = windows.origin(rows)
    panel, found = windows.panel, []
    for i, (number, origin) in enumerate(zip(series.tolist(), origins.tolist(), strict=True)):
        channel = i % len(panel.targets)
        scale, location = float(batch.scale[i, channel]), float(batch.location[i, channel])

        def units(
            values: torch.Tensor, scale: float = scale, location: float = location
        ) -> np.ndarray:
            return values.cpu().double().numpy() * scale + location

        bands = {}
        for interval in INTERVALS if forecast.quantiles is not None else ():
            low, high = (forecast.quantile(level)[i, :, channel] for level in ends(interval))
            if not low.isnan().any():
                bands[interval] = units(low), units(high)
        first = origin - windows.input_length
        found.append(
            ForecastPanel(
                title=" ".join(filter(None, [panel.ids[number], panel.targets[channel]])),
                past_times=panel.times(number, first, windows.input_length),
                past=units(batch.past[i, :, channel]),
                times=windows.times(int(rows[i])),
                future=units(batch.future[i, :, channel]),
                point=units(forecast.point[i, :, channel]),
                bands=bands,
            )
        )
    return found


def _reports(trainer: Trainer, task: LightningModule) -> bool:
    """Whether there is something to report; every process comes to the same answer."""
    if trainer.fast_dev_run or trainer.sanity_checking:  # type: ignore[attr-defined]
        return False
    return hasattr(task, "forecast") and get_datamodule(trainer) is not None


def _summed(trainer: Trainer, counts: torch.Tensor) -> np.ndarray:
    if trainer.world_size > 1:
        torch.distributed.all_reduce(counts)
    return counts.cpu().numpy()


def _number(value: torch.Tensor) -> float | None:
    number = float(value)
    return None if math.isnan(number) else number
