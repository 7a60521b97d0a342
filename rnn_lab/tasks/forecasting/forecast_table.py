"""What a backtest keeps of each forecast: a Parquet table, and errors by series."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rnn_lab.io.atomic import atomic_path
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.metrics import INTERVALS, Forecast, interval_levels, value_errors
from rnn_lab.tasks.forecasting.windows import Windows

UNITS = {"mae": 1, "mse": 2}  # power of the scale of an error


class ForecastTable:
    """Write forecasts in the units of the file, one row for each value.

    The columns are `model`, `series`, `target`, `origin` (time of the last observed step),
    `step`, `time`, `observed`, `forecast` and the bounds of the intervals, such as `lower_80`.
    Values that are missing or undefined are null.

    Each batch is a row group, so that memory is bounded. The file appears under its name only when
    it is complete.

    Args:
        path: Parquet file; None to write nothing.
        windows: The windows that are forecast.

    Attributes:
        rows: Number of rows that were written.
    """

    def __init__(self, path: Path | None, windows: Windows) -> None:
        self._path, self._windows = path, windows
        self._stack = ExitStack()
        self._writer: pq.ParquetWriter | None = None
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        self._stack.__exit__(kind, error, trace)

    def add(self, model: str, batch: WindowBatch, forecast: Forecast) -> None:
        """Add a batch of windows.

        Args:
            model: Name of the model.
            batch: The windows.
            forecast: Their forecast.
        """
        if self._path is None:
            return
        table = pa.table(self._columns(model, batch, forecast))
        self.rows += len(table)
        if self._writer is None:
            path = self._stack.enter_context(atomic_path(self._path))
            self._writer = pq.ParquetWriter(path, table.schema, compression="zstd")
        self._writer.write_table(table)

    def _columns(self, model: str, batch: WindowBatch, forecast: Forecast) -> dict[str, pa.Array]:
        windows, panel = self._windows, self._windows.panel
        rows, (_, horizon, channels) = batch.rows.numpy(), forecast.point.shape
        series, origins = windows.origin(rows)
        starts = zip(series.tolist(), origins.tolist(), strict=True)
        times = [panel.times(number, first - 1, horizon + 1) for number, first in starts]
        steps = np.broadcast_to(np.arange(1, horizon + 1)[:, None], (horizon, channels))
        names = np.array(panel.ids, object)[series]
        columns: dict[str, Any] = {
            "model": _labels([model], np.zeros(forecast.point.numel(), np.int32)),
            "series": pa.array(
                np.repeat(names, horizon * channels), pa.string()
            ).dictionary_encode(),
            "target": _labels(panel.targets, np.tile(np.arange(channels), len(rows) * horizon)),
            "origin": pa.array(np.repeat([each[0] for each in times], horizon * channels)),
            "step": pa.array(np.tile(steps.ravel(), len(rows)).astype(np.int32)),
            "time": pa.array(np.repeat(np.concatenate([each[1:] for each in times]), channels)),
            "observed": _values(batch, batch.future),
            "forecast": _values(batch, forecast.point),
        }
        for coverage in INTERVALS:
            for side, level in zip(("lower", "upper"), interval_levels(coverage), strict=True):
                bound = _values(batch, forecast.quantile(level))
                columns[f"{side}_{round(100 * coverage)}"] = bound
        return columns


def _labels(names: list[str], codes: np.ndarray) -> pa.Array:
    return pa.DictionaryArray.from_arrays(codes.astype(np.int32), pa.array(names, pa.string()))


def _values(batch: WindowBatch, values: Any) -> pa.Array:
    return pa.array(batch.to_units(values).cpu().numpy().ravel(), from_pandas=True)


class SeriesErrors:
    """Errors of each series and target, in the units of the file.

    Args:
        windows: The windows that are forecast.
    """

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self._sums: dict[str, dict[str, np.ndarray]] = {}

    def add(self, model: str, batch: WindowBatch, forecast: Forecast) -> None:
        """Add a batch of windows.

        Args:
            model: Name of the model.
            batch: The windows.
            forecast: Their forecast.
        """
        panel = self._windows.panel
        series, _ = self._windows.origin(batch.rows.numpy())
        sums = self._sums.setdefault(model, {})
        scale = batch.scale.double().unsqueeze(1)
        for name, (values, defined) in value_errors(forecast, batch, True).items():
            values = values * scale ** UNITS.get(name, 0)
            total = sums.setdefault(name, np.zeros((2, len(panel.ids), len(panel.targets))))
            parts = values.where(defined, 0.0).sum(1), defined.sum(1)
            for part, added in zip(total, parts, strict=True):
                np.add.at(part, series, added.cpu().numpy())

    def rows(self) -> Iterator[dict[str, object]]:
        """Yield a row for each model, series and target that has an observed value."""
        panel = self._windows.panel
        for model, sums in self._sums.items():
            for number, channel in np.argwhere(sums["mae"][1] > 0).tolist():
                with np.errstate(invalid="ignore", divide="ignore"):
                    mean = {k: float(np.divide(*v[:, number, channel])) for k, v in sums.items()}
                yield {
                    "model": model,
                    "series": panel.ids[number],
                    "target": panel.targets[channel],
                    "values": int(sums["mae"][1, number, channel]),
                    "mae": mean["mae"],
                    "rmse": mean["mse"] ** 0.5,
                    **{k: mean[k] for k in ("smape", "mase", "coverage_80", "coverage_95")},
                }

    def by_target(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return `mae` and `rmse` over all series, by model and target that has observed values."""
        result: dict[str, dict[str, dict[str, float]]] = {}
        for model, sums in self._sums.items():
            totals = {name: sums[name].sum(1) for name in UNITS}  # over series, (2, targets)
            result[model] = {
                target: {
                    "mae": float(totals["mae"][0, i] / totals["mae"][1, i]),
                    "rmse": float(totals["mse"][0, i] / totals["mse"][1, i]) ** 0.5,
                }
                for i, target in enumerate(self._windows.panel.targets)
                if totals["mae"][1, i] > 0
            }
        return result
