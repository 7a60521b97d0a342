"""Read new series as in training, and write forecasts in the format of the input."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, get_type_hints

import numpy as np

from rnn_lab.core.checkpoint import check_types
from rnn_lab.errors import UserError
from rnn_lab.io.tables import as_chunks
from rnn_lab.tasks.forecasting.panel.builder import read_panel
from rnn_lab.tasks.forecasting.panel.frequency import calendar_features
from rnn_lab.tasks.forecasting.panel.panel import Panel, PanelConfig
from rnn_lab.tasks.forecasting.panel.scaling import Kind, Scaler
from rnn_lab.tasks.forecasting.windows import Bounds, Windows

if TYPE_CHECKING:
    import pandas as pd


STATE_TYPES = {  # of the state dict of a reader
    "config": dict[str, Any],
    "categories": dict[str, list[str]],
    "ids": list[str],
    "scaling": Kind,
    "input_length": int,
    "horizon": int,
    "season_length": int,
}


@dataclass
class SeriesReader:
    """Read series as in training, and write forecasts.

    Attributes:
        config: Roles of the columns, targets and frequency included.
        categories: Categories of each text column.
        ids: Names of the series in training.
        static: Their numeric static covariates, `(series, static_dim)` float32.
        category_codes: Their categorical static covariates, `(series, categories)` int64.
        scaler: Their scaling statistics.
        scaling: Kind of scaling, for series that are not in the training data.
        input_length: Steps of the input window.
        horizon: Steps to forecast.
        season_length: Steps per season.
    """

    config: PanelConfig
    categories: dict[str, list[str]]
    ids: list[str]
    static: np.ndarray
    category_codes: np.ndarray
    scaler: Scaler
    scaling: Kind
    input_length: int
    horizon: int
    season_length: int

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain values."""
        return {
            "config": asdict(self.config),
            "categories": self.categories,
            "ids": self.ids,
            "static": self.static.tolist(),
            "category_codes": self.category_codes.tolist(),
            "scaler": self.scaler.state_dict(),
            "scaling": self.scaling,
            "input_length": self.input_length,
            "horizon": self.horizon,
            "season_length": self.season_length,
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> "SeriesReader":
        """Restore a reader from its `state_dict`.

        Raises:
            UserError: If the state is invalid.
        """
        check_types(state, STATE_TYPES)
        check_types(state["config"], get_type_hints(PanelConfig))
        series = len(state["ids"])
        reader = cls(
            **{
                **state,
                "config": PanelConfig(**state["config"]),
                "static": np.array(state["static"], np.float32).reshape(series, -1),
                "category_codes": np.array(state["category_codes"], np.int64).reshape(series, -1),
                "scaler": Scaler.from_state_dict(state["scaler"]),
            }
        )
        reader._check_sizes()
        return reader

    def _check_sizes(self) -> None:
        """Refuse arrays of inconsistent sizes."""
        scaler, shape = self.scaler, (len(self.ids), len(self.targets))
        if not scaler.location.shape == scaler.scale.shape == scaler.naive_mae.shape == shape:
            raise UserError(
                f"the scaling statistics do not match {shape[0]} series of {shape[1]} targets"
            )
        for location, scale in (
            (scaler.feature_location, scaler.feature_scale),
            (scaler.static_location, scaler.static_scale),
        ):
            if location.shape != scale.shape or location.ndim != 1:
                raise UserError("means and standard deviations have different sizes")
        if len(scaler.static_scale) != self.static.shape[1]:
            raise UserError(
                f"the scaling statistics do not match {self.static.shape[1]} static covariates"
            )
        if min(self.input_length, self.horizon, self.season_length) < 1:
            raise UserError("input_length, horizon and season_length must be at least 1")

    @property
    def targets(self) -> list[str]:
        """Names of the target columns."""
        return self.config.targets or []

    def windows(self, frame: "pd.DataFrame", source: str = "the frame") -> Windows:
        """Cut the window that ends with the last observed row of each series.

        Rows at the end of a series whose targets are all missing contain future covariates. They
        must cover the horizon if the model has future covariates. A series that is not in the
        training data is scaled by its own rows and has the unknown category.

        Args:
            frame: The columns of training, in any order; times may be the index.
            source: Name of the frame in error messages.

        Returns:
            One window per series in the order of the frame, with missing future values.

        Raises:
            UserError: If the frame does not have the format of training, a series has too few rows,
                or future covariates end before the horizon.
        """
        frame = self._with_times(frame)
        config = replace(self.config, static_covariates=self._static_columns(frame))
        panel = read_panel(lambda: as_chunks(frame, source), config, categories=self.categories)
        training_index = {name: n for n, name in enumerate(self.ids)}
        index = np.array([training_index.get(name, -1) for name in panel.ids])
        origins = _origins(panel)
        self._check_rows(panel, origins, source)
        scaler = self._scaler(panel, index, origins)
        if config.static_covariates != self.config.static_covariates:
            panel.static, panel.category_codes = self.static[index], self.category_codes[index]
        panel.notices += _notices_of_new(panel, index)
        panel = self._cut(panel, origins)
        ones = np.ones(len(panel.ids), np.int64)
        bounds = Bounds(ones * self.input_length, ones)
        return Windows(panel, scaler, bounds, self.input_length, self.horizon)

    def _with_times(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Take times from the index if they are not a column."""
        column, index = self.config.time_column, frame.index
        unnamed = index.name is None and index.dtype.kind == "M"
        if column in (None, *frame.columns) or not (index.name == column or unnamed):
            return frame
        return frame.rename_axis(index=column).reset_index()

    def _static_columns(self, frame: "pd.DataFrame") -> list[str]:
        """Return the static columns to read; a frame of known series may omit all of them."""
        config = self.config
        columns, id_column = config.static_covariates, config.id_column
        present = [c for c in columns if c in frame.columns and c != id_column]
        if present or id_column is None or id_column not in frame.columns:
            return columns if present else []
        return [] if set(frame[id_column].astype(str)) <= set(self.ids) else columns

    def _check_rows(self, panel: Panel, origins: np.ndarray, source: str) -> None:
        for series in np.flatnonzero(origins < self.input_length)[:1]:
            raise UserError(
                f"{source} has {origins[series]} observed rows{_of_series(panel, series)}, but "
                f"input_length is {self.input_length}"
            )
        ahead = panel.lengths - origins
        columns = self.config.future_covariates
        for series in np.flatnonzero(ahead < self.horizon)[:1] if columns else []:
            raise UserError(
                f"{source} has {ahead[series]} rows after the last observed one"
                f"{_of_series(panel, series)}, but future covariates ({', '.join(columns)}) must "
                f"cover the horizon of {self.horizon}"
            )

    def _scaler(self, panel: Panel, index: np.ndarray, origins: np.ndarray) -> Scaler:
        names = ("location", "scale", "naive_mae")
        statistics = {name: getattr(self.scaler, name)[index] for name in names}
        new = index < 0
        if new.any():
            own, notices = Scaler.fit(panel, origins, self.scaling, self.season_length)
            for name, values in statistics.items():
                values[new] = getattr(own, name)[new]
            panel.notices += notices
        return replace(self.scaler, **statistics)

    def _cut(self, panel: Panel, origins: np.ndarray) -> Panel:
        """Keep only the window of each series, without its future targets."""
        steps = np.arange(-self.input_length, self.horizon)
        positions = origins[:, None] + steps
        rows = panel.offsets[:-1, None] + positions
        exists = positions < panel.lengths[:, None]
        values = panel.values[np.where(exists, rows, 0)]
        values[~exists] = np.nan
        values[:, self.input_length :, : len(panel.targets)] = np.nan
        names = panel.config.calendar
        end = len(panel.targets) + len(panel.future_covariates)
        times = panel.frequency.to_timestamp(panel.start_times[:, None], positions)
        features = calendar_features(names, times.ravel())
        values[:, :, end - len(names) : end] = features.reshape(*times.shape, len(names))
        return replace(
            panel,
            values=values.reshape(-1, values.shape[-1]),
            offsets=np.arange(len(panel.ids) + 1) * len(steps),
            start_times=times[:, 0].copy(),
        )

    def to_frame(
        self, windows: Windows, mean: np.ndarray, columns: Mapping[str, np.ndarray] | None = None
    ) -> "pd.DataFrame":
        """Arrange forecasts in the format of the input.

        Args:
            windows: The windows that were forecast.
            mean: Forecasts in the units of the input, `(windows, horizon, channels)`.
            columns: Further values of that shape by the suffix of their columns, such as
                `lower_80`.

        Returns:
            A row per step: the series if there are several, the time, and for each target its
            forecast and its further columns. For series without times, the column `row` numbers
            the rows from 0.
        """
        import pandas as pd

        data: dict[str, Any] = {}
        series, _ = windows.origin(np.arange(len(windows)))
        if self.config.id_column is not None:
            names = np.array(windows.panel.ids, object)[series]
            data[self.config.id_column] = np.repeat(names, self.horizon)
        times = [windows.times(row) for row in range(len(windows))]
        data[self.config.time_column or "row"] = np.concatenate(times)
        for channel, target in enumerate(self.targets):
            data[target] = mean[..., channel].ravel()
            for suffix, values in (columns or {}).items():
                data[f"{target}_{suffix}"] = values[..., channel].ravel()
        return pd.DataFrame(data)


def _origins(panel: Panel) -> np.ndarray:
    """Count the rows of each series up to the last one with a target, `(series,)`."""
    observed = ~np.isnan(panel.values[:, : len(panel.targets)]).all(1)
    last_rows = np.where(observed, np.arange(len(observed)), -1)
    last = np.maximum.reduceat(last_rows, panel.offsets[:-1])
    return np.maximum(last + 1 - panel.offsets[:-1], 0)


def _notices_of_new(panel: Panel, index: np.ndarray) -> list[str]:
    new = [panel.ids[series] for series in np.flatnonzero(index < 0)]
    if not new:
        return []
    names = ", ".join(map(repr, new[:3])) + (", ..." if len(new) > 3 else "")
    return [f"{len(new)} series not in the training data are scaled by their own rows: {names}"]


def _of_series(panel: Panel, series: int | np.integer) -> str:
    name = panel.ids[int(series)]
    return f" of {name!r}" if name else ""
