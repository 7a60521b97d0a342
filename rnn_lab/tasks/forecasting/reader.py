"""How a checkpoint reads new series and writes its forecasts in the layout they came in."""

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


FORM = {  # of what a reader is kept as
    "settings": dict[str, Any],
    "levels": dict[str, list[str]],
    "ids": list[str],
    "scaling": Kind,
    "input_length": int,
    "horizon": int,
    "season": int,
}


@dataclass
class SeriesReader:
    """Reads series as in training, and writes forecasts.

    Attributes:
        settings: Which column is what, targets and frequency included.
        levels: What each text column can say.
        ids: The series of training.
        static: What is constant in each of them, `(series, statics)` float32.
        categories: The same of text, `(series, kinds)` int64.
        scaler: What divides their values.
        scaling: The kind of scaler, for series that training has not seen.
        input_length: Steps that a forecast sees.
        horizon: Steps that it tells.
        season: Steps of a season.
    """

    settings: PanelConfig
    levels: dict[str, list[str]]
    ids: list[str]
    static: np.ndarray
    categories: np.ndarray
    scaler: Scaler
    scaling: Kind
    input_length: int
    horizon: int
    season: int

    def state_dict(self) -> dict[str, Any]:
        """The reader as plain values."""
        return {
            "settings": asdict(self.settings),
            "levels": self.levels,
            "ids": self.ids,
            "static": self.static.tolist(),
            "categories": self.categories.tolist(),
            "scaler": self.scaler.state_dict(),
            "scaling": self.scaling,
            "input_length": self.input_length,
            "horizon": self.horizon,
            "season": self.season,
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> "SeriesReader":
        """Take up what `state_dict` gave.

        Raises:
            UserError: If it is something else.
        """
        check_types(state, FORM)
        check_types(state["settings"], get_type_hints(PanelConfig))
        series = len(state["ids"])
        made = cls(
            **{
                **state,
                "settings": PanelConfig(**state["settings"]),
                "static": np.array(state["static"], np.float32).reshape(series, -1),
                "categories": np.array(state["categories"], np.int64).reshape(series, -1),
                "scaler": Scaler.from_state_dict(state["scaler"]),
            }
        )
        made._check_sizes()
        return made

    def _check_sizes(self) -> None:
        """Refuse parts that do not go together."""
        scaler, each = self.scaler, (len(self.ids), len(self.targets))
        if not scaler.location.shape == scaler.scale.shape == scaler.naive.shape == each:
            raise UserError(f"{each[0]} series of {each[1]} targets have other scales")
        for one, other in (
            (scaler.feature_location, scaler.feature_scale),
            (scaler.static_location, scaler.static_scale),
        ):
            if one.shape != other.shape or one.ndim != 1:
                raise UserError("means and deviations are of different sizes")
        if len(scaler.static_scale) != self.static.shape[1]:
            raise UserError(f"{self.static.shape[1]} statics have other scales")
        if min(self.input_length, self.horizon, self.season) < 1:
            raise UserError("input_length, horizon and season must be at least 1")

    @property
    def targets(self) -> list[str]:
        """Names of the columns that are forecast."""
        return self.settings.targets or []

    def windows(self, frame: "pd.DataFrame", source: str = "the frame") -> Windows:
        """Read for each series the one window that ends with its last observed row.

        A frame may go on beyond what was observed: rows at the end whose targets are all missing
        tell what is known of the future. They must reach the horizon where columns are known.
        A series that training has not seen is scaled by its own rows, and is of no known category.

        Args:
            frame: The columns of training, in any order; times may be the index.
            source: What error messages call it.

        Returns:
            One window for each series in the order of the frame, its future missing.

        Raises:
            UserError: If the frame is not as in training, a series has too few rows, or what is
                known ends before the horizon.
        """
        frame = self._with_times(frame)
        settings = replace(self.settings, static=self._statics(frame))
        panel = read_panel(lambda: as_chunks(frame, source), settings, levels=self.levels)
        number = {name: n for n, name in enumerate(self.ids)}
        numbers = np.array([number.get(name, -1) for name in panel.ids])
        origins = _origins(panel)
        self._check_rows(panel, origins, source)
        scaler = self._scaler(panel, numbers, origins)
        self._take_statics(panel, settings, numbers)
        panel.notices += _unseen(panel, numbers)
        panel = self._cut(panel, origins)
        ones = np.ones(len(panel.ids), np.int64)
        bounds = Bounds(ones * self.input_length, ones)
        return Windows(panel, scaler, bounds, self.input_length, self.horizon)

    def _with_times(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Take times from the index, where they are no column."""
        column, index = self.settings.time_column, frame.index
        unnamed = index.name is None and index.dtype.kind == "M"
        if column in (None, *frame.columns) or not (index.name == column or unnamed):
            return frame
        return frame.rename_axis(index=column).reset_index()

    def _statics(self, frame: "pd.DataFrame") -> list[str]:
        """The static columns to read; a frame of known series may leave them all out."""
        settings = self.settings
        given = [c for c in settings.static if c in frame.columns and c != settings.id_column]
        if given or settings.id_column is None or settings.id_column not in frame.columns:
            return settings.static if given else []
        if set(frame[settings.id_column].astype(str)) <= set(self.ids):
            return []
        return settings.static

    def _take_statics(self, panel: Panel, settings: PanelConfig, numbers: np.ndarray) -> None:
        if settings.static != self.settings.static:
            panel.static, panel.categories = self.static[numbers], self.categories[numbers]

    def _check_rows(self, panel: Panel, origins: np.ndarray, source: str) -> None:
        for series in np.flatnonzero(origins < self.input_length)[:1]:
            raise UserError(
                f"{source} has {origins[series]} observed rows{_of(panel, series)}, a forecast "
                f"sees the last {self.input_length}"
            )
        ahead = panel.lengths - origins
        for series in np.flatnonzero(ahead < self.horizon)[:1] if self.settings.known else []:
            raise UserError(
                f"{source} has {ahead[series]} rows after the last observed one"
                f"{_of(panel, series)}: what is known ({', '.join(self.settings.known)}) must "
                f"reach the horizon of {self.horizon}"
            )

    def _scaler(self, panel: Panel, numbers: np.ndarray, origins: np.ndarray) -> Scaler:
        mine = self.scaler
        location, scale, naive = (
            values[numbers] for values in (mine.location, mine.scale, mine.naive)
        )
        new = numbers < 0
        if new.any():
            own, notices = Scaler.fit(panel, origins, self.scaling, self.season)
            location[new], scale[new], naive[new] = (
                own.location[new],
                own.scale[new],
                own.naive[new],
            )
            panel.notices += notices
        return replace(mine, location=location, scale=scale, naive=naive)

    def _cut(self, panel: Panel, origins: np.ndarray) -> Panel:
        """Keep of each series the window alone, and forget targets that come later."""
        steps = np.arange(-self.input_length, self.horizon)
        places = origins[:, None] + steps
        rows = panel.offsets[:-1, None] + places
        there = places < panel.lengths[:, None]
        values = panel.buffer[np.where(there, rows, 0)]
        values[~there] = np.nan
        values[:, self.input_length :, : len(panel.targets)] = np.nan
        parts = len(panel.settings.calendar)
        end = len(panel.targets) + len(panel.known)
        times = panel.grid.at(panel.begins[:, None], places)
        features = calendar_features(panel.settings.calendar, times.ravel())
        values[:, :, end - parts : end] = features.reshape(*times.shape, parts)
        return replace(
            panel,
            buffer=values.reshape(-1, values.shape[-1]),
            offsets=np.arange(len(panel.ids) + 1) * len(steps),
            begins=times[:, 0].copy(),
        )

    def frame(
        self, windows: Windows, mean: np.ndarray, columns: Mapping[str, np.ndarray] | None = None
    ) -> "pd.DataFrame":
        """Write forecasts in the layout of the input.

        Args:
            windows: What was forecast.
            mean: The forecasts in the units of the input, `(windows, horizon, channels)`.
            columns: More of that shape, each under the ending its columns get, such as `lower_80`.

        Returns:
            A row for each step: the series where there are several, the time, and for each target
            its forecast and its further columns. Rows that were numbered have their number, from
            0, under `row`.
        """
        import pandas as pd

        made: dict[str, Any] = {}
        series, _ = windows.origin(np.arange(len(windows)))
        if self.settings.id_column is not None:
            names = np.array(windows.panel.ids, object)[series]
            made[self.settings.id_column] = np.repeat(names, self.horizon)
        times = [windows.times(row) for row in range(len(windows))]
        made[self.settings.time_column or "row"] = np.concatenate(times)
        for channel, target in enumerate(self.targets):
            made[target] = mean[..., channel].ravel()
            for ending, values in (columns or {}).items():
                made[f"{target}_{ending}"] = values[..., channel].ravel()
        return pd.DataFrame(made)


def _origins(panel: Panel) -> np.ndarray:
    """Count the rows of each series up to the last with a target, `(series,)`."""
    seen = ~np.isnan(panel.buffer[:, : len(panel.targets)]).all(1)
    last = np.maximum.reduceat(np.where(seen, np.arange(len(seen)), -1), panel.offsets[:-1])
    return np.maximum(last + 1 - panel.offsets[:-1], 0)


def _unseen(panel: Panel, numbers: np.ndarray) -> list[str]:
    new = [panel.ids[series] for series in np.flatnonzero(numbers < 0)]
    if not new:
        return []
    names = ", ".join(map(repr, new[:3])) + (", ..." if len(new) > 3 else "")
    count = f"{len(new)} series that training has not seen are"
    return [f"{count} scaled by their own rows: {names}"]


def _of(panel: Panel, series: int | np.integer) -> str:
    name = panel.ids[int(series)]
    return f" of {name!r}" if name else ""
