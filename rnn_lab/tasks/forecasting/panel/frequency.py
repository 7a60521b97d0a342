"""Regular grids of time: where a timestamp lies on one, and which time a place has."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from rnn_lab.errors import UserError

DAY = 86_400 * 10**9  # nanoseconds
UNITS = {"D": DAY, "h": DAY // 24, "min": DAY // 1440, "s": 10**9, "ms": 10**6, "us": 10**3}
MONTHS = {"month": 1, "quarter": 3, "year": 12}  # as pandas begins the names of its offsets
Times = np.ndarray | np.int64
Kind = Literal["number", "fixed", "start", "end", "business"]
KINDS: dict[str, Kind] = {"": "number", "MS": "start", "ME": "end", "B": "business"}


@dataclass(frozen=True)
class Grid:
    """Times at equal steps, whether of a fixed length or of the calendar.

    Args:
        kind: `number` (integers), `fixed` (nanoseconds), `start` and `end` (first and last days of
            months), `business` (Monday to Friday).
        step: From one place to the next: numbers, nanoseconds, months or days.
    """

    kind: Kind
    step: int = 1

    @classmethod
    def named(cls, freq: str) -> "Grid":
        """Read a name such as `h`, `15min`, `D`, `B`, `MS` or `QE`; none is for numbers.

        Raises:
            UserError: If it is no frequency, or not one of equal steps.
        """
        unit = freq.lstrip("0123456789")
        step = int(freq.removesuffix(unit) or 1)
        if unit in UNITS:
            grid = cls("fixed", step * UNITS[unit])
        else:
            grid = cls(KINDS[unit], step) if unit in KINDS else _parsed(freq)
        if grid.step < 1:
            raise UserError(f"freq {freq!r} goes nowhere: give h, 15min, D, MS, ...")
        return grid

    @property
    def name(self) -> str:
        """The frequency as pandas calls it; a step of numbers, none where it is 1."""
        if self.kind == "fixed":
            unit, size = next(((u, s) for u, s in UNITS.items() if self.step % s == 0), ("ns", 1))
            return _times(self.step // size, unit)
        return _times(self.step, next(name for name, kind in KINDS.items() if kind == self.kind))

    @property
    def season(self) -> int:
        """Steps until things come again: a day, of days a week, of months a year; else 1."""
        if self.kind in ("start", "end"):
            return max(12 // self.step, 1)
        if self.kind == "business":
            return 5
        if self.kind == "fixed" and UNITS["min"] <= self.step < DAY and DAY % self.step == 0:
            return DAY // self.step
        return 7 if (self.kind, self.step) == ("fixed", DAY) else 1

    def place(self, begins: Times, times: Times) -> tuple[np.ndarray, np.ndarray]:
        """Count the steps from the begin to each time, and say whether it lies on the grid.

        Args:
            begins: The first time of the grid, int64, one or one for each time.
            times: What to place, int64.
        """
        places = (self._ordinals(times) - self._ordinals(begins)) // self.step
        return places, self.at(begins, places) == times

    def at(self, begins: Times, places: Times) -> np.ndarray:
        """Say which times lie some steps after the begin, int64; any number of steps."""
        ordinals = self._ordinals(begins) + places * self.step
        if self.kind in ("number", "fixed"):
            return ordinals
        if self.kind == "business":
            days = np.busday_offset(np.datetime64("1970-01-01"), ordinals)
            return _nanoseconds(days) + begins % DAY
        months = ordinals.astype("datetime64[M]")
        if self.kind == "start":
            return _nanoseconds(months)
        return _nanoseconds((months + 1).astype("datetime64[D]") - 1)

    def _ordinals(self, times: Times) -> np.ndarray:
        if self.kind in ("number", "fixed"):
            return np.asarray(times)
        moments = np.asarray(times).astype("datetime64[ns]")
        if self.kind == "business":
            return np.busday_count("1970-01-01", moments.astype("datetime64[D]"))
        return moments.astype("datetime64[M]").astype(np.int64)


class Steps:
    """Sees all times of some series, and tells the grid that they lie on.

    Args:
        numbers: Whether times are plain numbers.
    """

    def __init__(self, numbers: bool) -> None:
        self.numbers = numbers
        self.least = self.common = self.most = 0  # of the steps; common is what divides them all
        self.least_months = self.common_months = 0
        self.starts = self.ends = self.weekdays = not numbers

    def add(self, before: np.ndarray, after: np.ndarray) -> None:
        """Take in pairs of neighboring times, int64, the second ones later."""
        if not len(after):
            return
        self.least, self.common = _divisors(self.least, self.common, after - before)
        self.most = max(self.most, int((after - before).max()))
        if self.starts or self.ends or self.weekdays:
            self._add_calendar(before, after)

    def _add_calendar(self, before: np.ndarray, after: np.ndarray) -> None:
        both = np.stack([before, after])
        days = both.astype("datetime64[ns]").astype("datetime64[D]")
        months = days.astype("datetime64[M]")
        whole = bool((both % DAY == 0).all())
        self.starts &= whole and bool((days == months.astype("datetime64[D]")).all())
        self.ends &= whole and bool((days + 1 == (months + 1).astype("datetime64[D]")).all())
        self.weekdays &= bool(np.is_busday(days).all())
        if self.starts or self.ends:
            steps = (months[1] - months[0]).astype(np.int64)
            found = _divisors(self.least_months, self.common_months, steps)
            self.least_months, self.common_months = found

    def grid(self) -> Grid | None:
        """The grid with the smallest step seen; None where there was none."""
        if self.least == 0:
            return None
        if self.numbers:
            return Grid("number", self.least)
        if self.starts or self.ends:
            return Grid("start" if self.starts else "end", self.least_months)
        if self.weekdays and self.least == self.common == DAY < self.most:  # over a weekend
            return Grid("business")
        return Grid("fixed", self.least)


def _divisors(least: int, common: int, steps: np.ndarray) -> tuple[int, int]:
    smallest = int(steps.min())
    return min(least or smallest, smallest), int(np.gcd(common, np.gcd.reduce(steps)))


def _nanoseconds(moments: np.ndarray) -> np.ndarray:
    return moments.astype("datetime64[ns]").astype(np.int64)


def _times(count: int, unit: str) -> str:
    return unit if count == 1 else f"{count}{unit}"


def _parsed(freq: str) -> Grid:
    from pandas.tseries import offsets
    from pandas.tseries.frequencies import to_offset

    try:
        offset = to_offset(freq)
    except ValueError as error:
        raise UserError(f"freq {freq!r} is unknown: give h, 15min, D, MS, ...") from error
    if isinstance(offset, offsets.Tick):
        return Grid("fixed", int(offset.nanos))
    if isinstance(offset, offsets.Day):
        return Grid("fixed", offset.n * DAY)
    if isinstance(offset, offsets.Week):
        return Grid("fixed", offset.n * 7 * DAY)
    if type(offset) is offsets.BusinessDay:
        return Grid("business", offset.n)
    name = type(offset).__name__.lower()
    for span, months in MONTHS.items():
        if name in (f"{span}begin", f"{span}end"):
            return Grid("end" if name.endswith("end") else "start", months * offset.n)
    raise UserError(f"freq {freq!r} has no equal steps: give h, 15min, D, B, MS, ...")


def calendar_features(names: list[str], times: np.ndarray) -> np.ndarray:
    """Say where in the hour, day, week, month or year some times lie.

    Args:
        names: Of `CALENDAR`.
        times: Timestamps, `(rows,)` int64 nanoseconds.

    Returns:
        One column for each name, from -0.5 for the first value to 0.5 for the last,
        `(rows, names)` float32.
    """
    days = times.astype("datetime64[ns]").astype("datetime64[D]")
    columns = [_scaled(name, times, days) for name in names]
    return np.stack(columns, 1) if columns else np.empty((len(times), 0), np.float32)


CALENDAR = {  # values from 0 that each can have
    **{"minute": 60, "hour": 24, "weekday": 7, "day": 31},
    **{"week": 53, "month": 12, "dayofyear": 366},
}


def _scaled(name: str, times: np.ndarray, days: np.ndarray) -> np.ndarray:
    values = _calendar_value(name, times, days).astype(np.float32)
    return values / (CALENDAR[name] - 1) - 0.5


def _calendar_value(name: str, times: np.ndarray, days: np.ndarray) -> np.ndarray:
    number = days.astype(np.int64)
    weekday = (number + 3) % 7  # 1970 began on a Thursday
    months, years = days.astype("datetime64[M]"), days.astype("datetime64[Y]")
    if name == "minute":
        return times // UNITS["min"] % 60
    if name == "hour":
        return times // UNITS["h"] % 24
    if name == "weekday":
        return weekday
    if name == "day":
        return number - months.astype("datetime64[D]").astype(np.int64)
    if name == "month":
        return months.astype(np.int64) % 12
    if name == "dayofyear":
        return number - years.astype("datetime64[D]").astype(np.int64)
    thursday = (number - weekday + 3).astype("datetime64[D]")  # it tells the year of an ISO week
    first = thursday.astype("datetime64[Y]").astype("datetime64[D]")
    return (thursday - first).astype(np.int64) // 7
