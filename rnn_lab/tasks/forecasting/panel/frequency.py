"""Frequencies of time series: positions of timestamps, and timestamps of positions."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from rnn_lab.errors import UserError

DAY = 86_400 * 10**9  # nanoseconds
UNITS = {"D": DAY, "h": DAY // 24, "min": DAY // 1440, "s": 10**9, "ms": 10**6, "us": 10**3}
MONTHS = {"month": 1, "quarter": 3, "year": 12}  # prefixes of the names of pandas' offsets
Times = np.ndarray | np.int64
Kind = Literal["number", "fixed", "start", "end", "business"]
KINDS: dict[str, Kind] = {"": "number", "MS": "start", "ME": "end", "B": "business"}


@dataclass(frozen=True)
class Frequency:
    """Regular frequency, of fixed length or of the calendar.

    Args:
        kind: `number` (integers), `fixed` (nanoseconds), `start` and `end` (first and last days of
            months), `business` (Monday to Friday).
        step: Length of a step: numbers, nanoseconds, months or days.
    """

    kind: Kind
    step: int = 1

    @classmethod
    def parse(cls, freq: str) -> "Frequency":
        """Parse a pandas alias such as `h`, `15min`, `D`, `B`, `MS` or `QE`; empty for numbers.

        Raises:
            UserError: If the alias is unknown, or its steps are not regular.
        """
        unit = freq.lstrip("0123456789")
        step = int(freq.removesuffix(unit) or 1)
        if unit in UNITS:
            frequency = cls("fixed", step * UNITS[unit])
        else:
            frequency = cls(KINDS[unit], step) if unit in KINDS else _parse_offset(freq)
        if frequency.step < 1:
            raise UserError(f"freq must be a positive multiple, got {freq!r}")
        return frequency

    @property
    def name(self) -> str:
        """The pandas alias; for numbers the step, empty if it is 1."""
        if self.kind == "fixed":
            unit, size = next(((u, s) for u, s in UNITS.items() if self.step % s == 0), ("ns", 1))
            return _alias(self.step // size, unit)
        return _alias(self.step, next(name for name, kind in KINDS.items() if kind == self.kind))

    @property
    def season_length(self) -> int:
        """Steps per season: per day, week (of days) or year (of months); else 1."""
        if self.kind in ("start", "end"):
            return max(12 // self.step, 1)
        if self.kind == "business":
            return 5
        if self.kind == "fixed" and UNITS["min"] <= self.step < DAY and DAY % self.step == 0:
            return DAY // self.step
        return 7 if (self.kind, self.step) == ("fixed", DAY) else 1

    def to_index(self, starts: Times, times: Times) -> tuple[np.ndarray, np.ndarray]:
        """Count the steps from the start to each time, rounded down.

        Args:
            starts: Time of index 0, int64: a scalar, or one for each time.
            times: Times, int64.

        Returns:
            The indices, and whether each time is exactly at its index.
        """
        index = (self._ordinals(times) - self._ordinals(starts)) // self.step
        return index, self.to_timestamp(starts, index) == times

    def to_timestamp(self, starts: Times, index: Times) -> np.ndarray:
        """Return the times, int64, at any number of steps from the start."""
        ordinals = self._ordinals(starts) + index * self.step
        if self.kind in ("number", "fixed"):
            return ordinals
        if self.kind == "business":
            days = np.busday_offset(np.datetime64("1970-01-01"), ordinals)
            return _nanoseconds(days) + starts % DAY
        months = ordinals.astype("datetime64[M]")
        if self.kind == "start":
            return _nanoseconds(months)
        return _nanoseconds((months + 1).astype("datetime64[D]") - 1)

    def _ordinals(self, times: Times) -> np.ndarray:
        if self.kind in ("number", "fixed"):
            return np.asarray(times)
        timestamps = np.asarray(times).astype("datetime64[ns]")
        if self.kind == "business":
            return np.busday_count("1970-01-01", timestamps.astype("datetime64[D]"))
        return timestamps.astype("datetime64[M]").astype(np.int64)


class FrequencyInference:
    """Infer the frequency of series from pairs of consecutive times.

    Args:
        numbers: Whether times are plain numbers.
    """

    def __init__(self, numbers: bool) -> None:
        self.numbers = numbers
        self.smallest = self.gcd = self.largest = 0  # of the steps
        self.smallest_months = self.gcd_months = 0
        self.starts = self.ends = self.weekdays = not numbers

    def add(self, before: np.ndarray, after: np.ndarray) -> None:
        """Add pairs of consecutive times, int64, in increasing order."""
        if not len(after):
            return
        self.smallest, self.gcd = _update_steps(self.smallest, self.gcd, after - before)
        self.largest = max(self.largest, int((after - before).max()))
        if self.starts or self.ends or self.weekdays:
            self._add_calendar(before, after)

    def _add_calendar(self, before: np.ndarray, after: np.ndarray) -> None:
        both = np.stack([before, after])
        days = both.astype("datetime64[ns]").astype("datetime64[D]")
        months = days.astype("datetime64[M]")
        midnight = bool((both % DAY == 0).all())
        self.starts &= midnight and bool((days == months.astype("datetime64[D]")).all())
        self.ends &= midnight and bool((days + 1 == (months + 1).astype("datetime64[D]")).all())
        self.weekdays &= bool(np.is_busday(days).all())
        if self.starts or self.ends:
            steps = (months[1] - months[0]).astype(np.int64)
            found = _update_steps(self.smallest_months, self.gcd_months, steps)
            self.smallest_months, self.gcd_months = found

    def frequency(self) -> Frequency | None:
        """Return the frequency with the smallest step; None if there was no pair."""
        if self.smallest == 0:
            return None
        if self.numbers:
            return Frequency("number", self.smallest)
        if self.starts or self.ends:
            return Frequency("start" if self.starts else "end", self.smallest_months)
        if self.weekdays and self.smallest == self.gcd == DAY < self.largest:  # over a weekend
            return Frequency("business")
        return Frequency("fixed", self.smallest)


def _update_steps(smallest: int, gcd: int, steps: np.ndarray) -> tuple[int, int]:
    minimum = int(steps.min())
    return min(smallest or minimum, minimum), int(np.gcd(gcd, np.gcd.reduce(steps)))


def _nanoseconds(times: np.ndarray) -> np.ndarray:
    return times.astype("datetime64[ns]").astype(np.int64)


def _alias(count: int, unit: str) -> str:
    return unit if count == 1 else f"{count}{unit}"


def _parse_offset(freq: str) -> Frequency:
    from pandas.tseries import offsets
    from pandas.tseries.frequencies import to_offset

    try:
        offset = to_offset(freq)
    except ValueError as error:
        raise UserError(
            f"unknown freq {freq!r}: use a pandas alias such as h, 15min, D or MS"
        ) from error
    if isinstance(offset, offsets.Tick):
        return Frequency("fixed", int(offset.nanos))
    if isinstance(offset, offsets.Day):
        return Frequency("fixed", offset.n * DAY)
    if isinstance(offset, offsets.Week):
        return Frequency("fixed", offset.n * 7 * DAY)
    if type(offset) is offsets.BusinessDay:
        return Frequency("business", offset.n)
    name = type(offset).__name__.lower()
    for span, months in MONTHS.items():
        if name in (f"{span}begin", f"{span}end"):
            return Frequency("end" if name.endswith("end") else "start", months * offset.n)
    raise UserError(f"freq {freq!r} is irregular: use an alias such as h, 15min, D, B or MS")


def calendar_features(names: list[str], times: np.ndarray) -> np.ndarray:
    """Compute calendar features.

    Args:
        names: Names of features, see `CALENDAR`.
        times: Timestamps, `(rows,)` int64 nanoseconds.

    Returns:
        One column per name, scaled from -0.5 for the first value to 0.5 for the last,
        `(rows, names)` float32.
    """
    days = times.astype("datetime64[ns]").astype("datetime64[D]")
    columns = [_scaled_feature(name, times, days) for name in names]
    return np.stack(columns, 1) if columns else np.empty((len(times), 0), np.float32)


CALENDAR = {  # number of values of each feature
    **{"minute": 60, "hour": 24, "weekday": 7, "day": 31},
    **{"week": 53, "month": 12, "dayofyear": 366},
}


def _scaled_feature(name: str, times: np.ndarray, days: np.ndarray) -> np.ndarray:
    values = _calendar_feature(name, times, days).astype(np.float32)
    return values / (CALENDAR[name] - 1) - 0.5


def _calendar_feature(name: str, times: np.ndarray, days: np.ndarray) -> np.ndarray:
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
    thursday = (number - weekday + 3).astype("datetime64[D]")  # in the year of the ISO week
    first = thursday.astype("datetime64[Y]").astype("datetime64[D]")
    return (thursday - first).astype(np.int64) // 7
