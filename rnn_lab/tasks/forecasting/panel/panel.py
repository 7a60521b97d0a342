"""One or many series on regular grids, end to end in one flat array: a panel.

A prepared panel is a folder: `rows.bin` holds the values, `panel.json` and `*.npy` all else.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting.panel.frequency import CALENDAR, Grid

FORMAT = 1  # raise it when anything below, or how tables are read, changes what is written
ARRAYS = ("offsets", "begins", "static", "categories")
IN_MEMORY = 256 << 20  # bytes of values that are held in memory, not mapped


@dataclass(frozen=True)
class PanelConfig:
    """Which column of a table is what.

    Args:
        time_column: Of the times; None numbers the rows of each series.
        id_column: Tells the series of a row; None where there is one series.
        targets: What is to be forecast; None takes all numeric columns without another role.
        known: What is known of the future, numbers or text.
        observed: What else is only known of the past, numbers.
        static: What is constant in a series, numbers or text; `id_column` may be one of them.
        calendar: What the timestamps tell: `minute`, `hour`, `weekday`, `day`, `week`, `month`,
            `dayofyear`.
        freq: The step from row to row, as pandas calls it, such as `h` or `MS`; None infers it.

    Raises:
        UserError: If a column has two roles, or the calendar has no such part.
    """

    time_column: str | None = None
    id_column: str | None = None
    targets: list[str] | None = None
    known: list[str] = field(default_factory=list)
    observed: list[str] = field(default_factory=list)
    static: list[str] = field(default_factory=list)
    calendar: list[str] = field(default_factory=list)
    freq: str | None = None

    def __post_init__(self) -> None:
        apart = [column for column in self.static if column != self.id_column]
        roles = [self.time_column, self.id_column, *self.named, *apart]
        for role in filter(None, roles):
            if roles.count(role) > 1:
                raise UserError(f"column {role!r} is given two roles: leave one out")
        for part in self.calendar:
            if part not in CALENDAR:
                raise UserError(f"calendar has no {part!r}: give some of {', '.join(CALENDAR)}")
        if self.calendar and self.time_column is None:
            raise UserError("calendar needs timestamps, got numbered rows: name the time_column")

    @property
    def named(self) -> list[str]:
        """The columns of values that are named."""
        return [*(self.targets or []), *self.known, *self.observed]


@dataclass
class Panel:
    """Series on regular grids, end to end.

    Attributes:
        settings: Which column was what, targets and frequency included.
        buffer: Values, `(rows, columns)` float32, NaN where nothing was observed; first the
            targets, then what is known of the future, then what is only observed.
        offsets: Where each series begins, and the end, `(series + 1,)` int64.
        begins: Time of the first row of each series, `(series,)` int64: nanoseconds since 1970, or
            the number.
        ids: What each series is called; one that stands alone has no name.
        targets: Names of the columns that are to be forecast.
        known: Names of the columns that are known of the future: numbers, a column for each level
            of a text, the calendar last.
        observed: Names of the columns that are only known of the past.
        levels: What each text column, known or static, can say.
        static: What is constant in a series, `(series, statics)` float32.
        categories: The same of text, `(series, kinds)` int64, 0 for what is not among the levels.
        notices: What was noticed on the way.
    """

    settings: PanelConfig
    buffer: np.ndarray
    offsets: np.ndarray
    begins: np.ndarray
    ids: list[str]
    targets: list[str]
    known: list[str]
    observed: list[str]
    levels: dict[str, list[str]]
    static: np.ndarray
    categories: np.ndarray
    notices: list[str]

    @property
    def freq(self) -> str:
        """The step from row to row, as pandas calls it; none for numbers."""
        return self.settings.freq or ""

    @property
    def grid(self) -> Grid:
        """The grid that all series lie on."""
        return Grid.named(self.freq)

    @property
    def lengths(self) -> np.ndarray:
        """Rows of each series, `(series,)` int64."""
        return np.diff(self.offsets)

    @property
    def static_names(self) -> list[str]:
        """Names of the numbers in `static`."""
        return [name for name in self.settings.static if name not in self.levels]

    @property
    def category_levels(self) -> list[list[str]]:
        """What each column of `categories` can say, in the order of its numbers from 1."""
        return [self.levels[name] for name in self.settings.static if name in self.levels]

    @property
    def measured(self) -> np.ndarray:
        """Whether a column is of numbers as they were given, neither levels nor calendar."""
        given = {*self.targets, *self.observed, *self.settings.known}
        return np.array([name in given for name in [*self.targets, *self.known, *self.observed]])

    def times(self, series: int, first: int, count: int) -> np.ndarray:
        """Say when rows of a series are, also beyond its ends.

        Args:
            series: Number of the series.
            first: Row of the series, from 0.
            count: How many rows.

        Returns:
            Timestamps `(count,)` datetime64[ns], or int64 where times are numbers.
        """
        times = self.grid.at(self.begins[series], np.arange(first, first + count))
        return times if self.grid.kind == "number" else times.astype("datetime64[ns]")

    def save(self, folder: Path) -> None:
        """Write all but the values, which lie there already."""
        for name in ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))
        names = ("ids", "targets", "known", "observed", "levels", "notices")
        meta = {name: getattr(self, name) for name in names}
        meta = {"settings": asdict(self.settings), **meta}
        (folder / "panel.json").write_text(json.dumps(meta), encoding="utf-8")

    @classmethod
    def open(cls, folder: Path) -> "Panel":
        """Open a prepared panel; many values are mapped, not read."""
        meta: dict[str, Any] = json.loads((folder / "panel.json").read_text(encoding="utf-8"))
        arrays = {name: np.load(folder / f"{name}.npy") for name in ARRAYS}
        columns = sum(len(meta[name]) for name in ("targets", "known", "observed"))
        return cls(
            settings=PanelConfig(**meta.pop("settings")),
            buffer=_values(folder / "rows.bin", columns),
            **arrays,
            **meta,
        )


def _values(path: Path, columns: int) -> np.ndarray:
    """Read the values, or map them: privately, so that torch takes them for writable."""
    if path.stat().st_size <= IN_MEMORY:
        return np.fromfile(path, np.float32).reshape(-1, columns)
    return np.memmap(path, np.float32, "c").reshape(-1, columns)
