"""A panel: one or more time series of regular frequency, concatenated in one flat array.

A prepared panel is a folder: `rows.bin` holds the values, `panel.json` and `*.npy` everything else.
"""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting.panel.frequency import CALENDAR, Frequency

FORMAT = 2  # increase it when the files below, or how tables are read, map_state
ARRAYS = ("offsets", "start_times", "static", "category_codes")
MAX_IN_MEMORY = 256 << 20  # bytes of values that are read into memory; more are memory-mapped


@dataclass(frozen=True)
class PanelConfig:
    """Roles of the columns of a table.

    Args:
        time_column: Timestamps; None numbers the rows of each series.
        id_column: Name of the series of a row; None if there is one series.
        targets: Columns to forecast; None takes all numeric columns without another role.
        future_covariates: Covariates that are known for the steps to forecast, numeric or text.
        past_covariates: Covariates that are known for the past only, numeric.
        static_covariates: Covariates that are constant in a series, numeric or text; `id_column`
            may be one of them.
        calendar: Calendar features: `minute`, `hour`, `weekday`, `day`, `week`, `month`,
            `dayofyear`.
        freq: Frequency as a pandas alias, such as `h` or `MS`; None infers it.

    Raises:
        UserError: If a column has two roles, or a calendar feature is unknown.
    """

    time_column: str | None = None
    id_column: str | None = None
    targets: list[str] | None = None
    future_covariates: list[str] = field(default_factory=list)
    past_covariates: list[str] = field(default_factory=list)
    static_covariates: list[str] = field(default_factory=list)
    calendar: list[str] = field(default_factory=list)
    freq: str | None = None

    def __post_init__(self) -> None:
        static = [column for column in self.static_covariates if column != self.id_column]
        roles = [self.time_column, self.id_column, *self.value_columns, *static]
        for column, count in Counter(filter(None, roles)).items():
            if count > 1:
                raise UserError(f"column {column!r} has two roles: remove it from one of them")
        for name in self.calendar:
            if name not in CALENDAR:
                raise UserError(
                    f"unknown calendar feature {name!r}: choose from {', '.join(CALENDAR)}"
                )
        if self.calendar and self.time_column is None:
            raise UserError("calendar features need timestamps: set the time column")

    @property
    def value_columns(self) -> list[str]:
        """Targets, future and past covariates that are named."""
        return [*(self.targets or []), *self.future_covariates, *self.past_covariates]


@dataclass
class Panel:
    """Time series of one frequency, concatenated.

    Attributes:
        config: Roles of the columns, targets and frequency included.
        values: Values, `(rows, columns)` float32, NaN where missing: targets, future covariates,
            past covariates.
        offsets: First row of each series, and the number of rows, `(series + 1,)` int64.
        start_times: Time of the first row of each series, `(series,)` int64: nanoseconds since
            1970, or the row number.
        ids: Names of the series; a single series has an empty name.
        targets: Names of the target columns.
        future_covariates: Names of the columns of future covariates: numeric ones, an indicator
            column per category of a text, the calendar features last.
        past_covariates: Names of the columns of past covariates.
        categories: Categories of each text column.
        static: Numeric static covariates, `(series, static_dim)` float32.
        category_codes: Categorical static covariates, `(series, columns)` int64, 0 if unknown.
        notices: Messages about the table, to be logged.
    """

    config: PanelConfig
    values: np.ndarray
    offsets: np.ndarray
    start_times: np.ndarray
    ids: list[str]
    targets: list[str]
    future_covariates: list[str]
    past_covariates: list[str]
    categories: dict[str, list[str]]
    static: np.ndarray
    category_codes: np.ndarray
    notices: list[str]

    @property
    def freq(self) -> str:
        """Frequency as a pandas alias; empty if times are numbers."""
        return self.config.freq or ""

    @property
    def frequency(self) -> Frequency:
        """Frequency of all series."""
        return Frequency.parse(self.freq)

    @property
    def lengths(self) -> np.ndarray:
        """Rows of each series, `(series,)` int64."""
        return np.diff(self.offsets)

    @property
    def static_categories(self) -> list[list[str]]:
        """Categories of each column of `category_codes`, in the order of their codes from 1."""
        columns = self.config.static_covariates
        return [self.categories[name] for name in columns if name in self.categories]

    @property
    def numeric(self) -> np.ndarray:
        """Whether each column is numeric in the table, no indicator or calendar feature."""
        names = {*self.targets, *self.past_covariates, *self.config.future_covariates}
        columns = [*self.targets, *self.future_covariates, *self.past_covariates]
        return np.array([name in names for name in columns])

    def times(self, series: int, first: int, count: int) -> np.ndarray:
        """Return the times of rows of a series, also beyond its ends.

        Args:
            series: Index of the series.
            first: Row of the series, from 0.
            count: Number of rows.

        Returns:
            Timestamps `(count,)` datetime64[ns], or int64 if times are numbers.
        """
        index = np.arange(first, first + count)
        times = self.frequency.to_timestamp(self.start_times[series], index)
        return times if self.frequency.kind == "number" else times.astype("datetime64[ns]")

    def save(self, folder: Path) -> None:
        """Write everything but the values, which the folder has already."""
        for name in ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))
        names = ("ids", "targets", "future_covariates", "past_covariates", "categories", "notices")
        meta = {name: getattr(self, name) for name in names}
        meta = {"config": asdict(self.config), **meta}
        (folder / "panel.json").write_text(json.dumps(meta), encoding="utf-8")

    @classmethod
    def open(cls, folder: Path) -> "Panel":
        """Open a prepared panel; large values are memory-mapped."""
        meta: dict[str, Any] = json.loads((folder / "panel.json").read_text(encoding="utf-8"))
        arrays = {name: np.load(folder / f"{name}.npy") for name in ARRAYS}
        names = ("targets", "future_covariates", "past_covariates")
        columns = sum(len(meta[name]) for name in names)
        return cls(
            config=PanelConfig(**meta.pop("config")),
            values=_read_values(folder / "rows.bin", columns),
            **arrays,
            **meta,
        )


def _read_values(path: Path, columns: int) -> np.ndarray:
    """Read or map the values: copy-on-write, since torch requires writable arrays."""
    if path.stat().st_size <= MAX_IN_MEMORY:
        return np.fromfile(path, np.float32).reshape(-1, columns)
    return np.memmap(path, np.float32, "c").reshape(-1, columns)
