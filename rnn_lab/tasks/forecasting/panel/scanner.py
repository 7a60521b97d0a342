"""The first reading of a table of series: which there are, from when to when, on which grid."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from rnn_lab.errors import UserError
from rnn_lab.io.tables import (
    Chunk,
    check_columns,
    is_categorical,
    is_text,
    read_numbers,
    read_strings,
    read_times,
)
from rnn_lab.tasks.forecasting.panel.frequency import Grid, Steps
from rnn_lab.tasks.forecasting.panel.panel import PanelConfig


class SortedRows(NamedTuple):
    """The rows of a chunk, brought together by series and else in their order.

    Attributes:
        order: Row of the chunk, `(rows,)`.
        codes: Number of the series, `(rows,)`.
        times: Times, `(rows,)` int64.
        firsts: Places of the first rows of each series that has some.
    """

    order: np.ndarray
    codes: np.ndarray
    times: np.ndarray
    firsts: np.ndarray

    @property
    def series(self) -> np.ndarray:
        """Numbers of the series that have rows."""
        return self.codes[self.firsts]

    @property
    def lasts(self) -> np.ndarray:
        """Places of the last rows of each series that has some."""
        return np.append(self.firsts[1:], len(self.codes)) - 1


class RowReader:
    """Tells series and times of the rows of a table, chunk by chunk from its start.

    Args:
        settings: Which column is what.
        numbered: Whether times are plain numbers.
        ids: Numbers of the series that are known; others get the next ones.
    """

    def __init__(self, settings: PanelConfig, numbered: bool, ids: dict[str, int]) -> None:
        self.settings = settings
        self.numbered = numbered
        self.ids = ids
        self.seen = np.zeros(0, np.int64)  # rows of each series so far

    def read(self, chunk: Chunk) -> SortedRows:
        """Read the next chunk."""
        codes = self._codes(chunk)
        order = np.argsort(codes, kind="stable")
        codes = codes[order]
        firsts = np.flatnonzero(np.diff(codes, prepend=-1))
        counts = np.diff(np.append(firsts, len(codes)))
        self.seen = extended(self.seen, len(self.ids), 0)
        if self.settings.time_column is None:
            moments = self.seen[codes] + np.arange(len(codes)) - np.repeat(firsts, counts)
        else:
            moments = self._times(chunk, self.settings.time_column)[order]
        self.seen[codes[firsts]] += counts
        return SortedRows(order, codes, moments, firsts)

    def _codes(self, chunk: Chunk) -> np.ndarray:
        if self.settings.id_column is None:
            self.ids.setdefault("", 0)
            return np.zeros(len(chunk.frame), np.int64)
        import pandas as pd

        codes, names = pd.factorize(read_strings(chunk, self.settings.id_column))
        numbers = [self.ids.setdefault(name, len(self.ids)) for name in names]
        return np.array(numbers, np.int64)[codes]

    def _times(self, chunk: Chunk, column: str) -> np.ndarray:
        moments, numbered = read_times(chunk, column)
        if numbered != self.numbered:
            raise UserError(f"{chunk.where(0)}: {column!r} mixes numbers with timestamps")
        return moments


class PanelScanner:
    """What the first reading finds.

    Args:
        first: The first rows, from which the roles of columns are told; not yet taken in.
        settings: Which column is what.
        levels: What text columns can say; None learns it.
    """

    def __init__(
        self, first: Chunk, settings: PanelConfig, levels: Mapping[str, list[str]] | None
    ) -> None:
        self.source = first.source
        self.given = levels
        self.notices: list[str] = []
        wanted = [settings.time_column, settings.id_column, *settings.named, *settings.static]
        check_columns(first, [column for column in wanted if column is not None])
        self.settings = self._with_targets(first, settings)
        time = settings.time_column
        self.numbered = time is None or read_times(first, time)[1]
        self._check_kind()
        columns = (*settings.known, *settings.static)
        self.words: dict[str, set[str]] = {c: set() for c in columns if self._says_text(first, c)}
        self.ids: dict[str, int] = {}
        self.rows = RowReader(self.settings, self.numbered, self.ids)
        self.steps = Steps(self.numbered)
        self.begins = self.ends = np.zeros(0, np.int64)
        self.static: dict[str, np.ndarray] = {}

    def _with_targets(self, chunk: Chunk, settings: PanelConfig) -> PanelConfig:
        if settings.targets is not None:
            return settings
        taken = {settings.time_column, settings.id_column, *settings.named, *settings.static}
        free = [str(column) for column in chunk.frame.columns if column not in taken]
        other = [column for column in free if is_categorical(chunk.frame[column])]
        if other:
            self.notices.append(f"left out, as they hold no numbers: {', '.join(other)}")
        targets = [column for column in free if column not in other]
        if not targets:
            raise UserError(f"{chunk.source} has no column of numbers to forecast")
        return replace(settings, targets=targets)

    def _check_kind(self) -> None:
        freq = self.settings.freq
        if self.numbered and self.settings.calendar:
            raise UserError(f"calendar needs timestamps, {self.source} has numbers for times")
        if freq is not None and self.numbered != (Grid.named(freq).kind == "number"):
            found = "numbers" if self.numbered else "timestamps"
            wish = f"timestamps at steps of {freq}" if self.numbered else "numbers"
            raise UserError(f"{self.source} has {found} for times, wanted {wish}")

    def _says_text(self, chunk: Chunk, column: str) -> bool:
        if self.given is not None:
            return column in self.given
        return column == self.settings.id_column or is_text(chunk.frame[column])

    def add(self, chunk: Chunk) -> None:
        """Take in some rows."""
        known = len(self.ids)
        rows = self.rows.read(chunk)
        self._add_times(chunk, rows, known)
        for column in self.settings.static:
            self._add_static(chunk, rows, column, known)
        if self.given is None:
            for column in self.words.keys() & set(self.settings.known):
                self.words[column].update(read_strings(chunk, column))

    def _add_times(self, chunk: Chunk, rows: SortedRows, known: int) -> None:
        """Compare each row with the one before it in its series, perhaps in an earlier chunk."""
        self.begins, self.ends = (extended(x, len(self.ids), 0) for x in (self.begins, self.ends))
        before = np.roll(rows.times, 1)
        before[rows.firsts] = self.ends[rows.series]
        new = rows.series >= known
        pairs = np.ones(len(before), bool)
        pairs[rows.firsts[new]] = False
        bad = np.flatnonzero(pairs & (rows.times <= before))
        if len(bad):
            self._refuse_order(chunk, rows, before, int(bad[np.argmin(rows.order[bad])]))
        self.steps.add(before[pairs], rows.times[pairs])
        self.begins[rows.series[new]] = rows.times[rows.firsts[new]]
        self.ends[rows.series] = rows.times[rows.lasts]

    def _refuse_order(self, chunk: Chunk, rows: SortedRows, before: np.ndarray, bad: int) -> None:
        now, then = rows.times[bad], before[bad]
        later = f"comes after {self.show(then)}: sort the rows by time"
        fault = "is there twice" if now == then else later
        where = f"{chunk.where(rows.order[bad])}: {self.show(now)}{self.of(rows.codes[bad])}"
        raise UserError(f"{where} {fault}")

    def _add_static(self, chunk: Chunk, rows: SortedRows, column: str, known: int) -> None:
        values = (
            read_strings(chunk, column)
            if column in self.words
            else read_numbers(chunk, column, True)
        )
        values = values[rows.order]
        kept = extended(self.static.get(column, values[:0]), len(self.ids), values[0])
        new = rows.series >= known
        kept[rows.series[new]] = values[rows.firsts[new]]
        for bad in np.flatnonzero(kept[rows.codes] != values)[:1]:
            raise UserError(
                f"{chunk.where(rows.order[bad])}: static column {column!r}"
                f"{self.of(rows.codes[bad])} changes from {kept[rows.codes[bad]]} to {values[bad]}"
            )
        self.static[column] = kept

    def show(self, time: int | np.integer) -> str:
        """Write a time for people."""
        if self.numbered:
            return str(int(time))
        moment = np.datetime64(int(time), "ns")
        return str(moment if time % 10**9 else moment.astype("datetime64[s]")).replace("T", " ")

    def of(self, series: int | np.integer) -> str:
        """Name a series for people, where there are several."""
        name = list(self.ids)[int(series)]
        return f" of {name!r}" if name else ""

    @property
    def levels(self) -> dict[str, list[str]]:
        """What each text column can say, sorted."""
        if self.given is not None:
            return dict(self.given)
        statics = {c: set(self.static[c]) for c in self.settings.static if c in self.words}
        return {column: sorted(found) for column, found in {**self.words, **statics}.items()}

    @property
    def grid(self) -> Grid:
        """The grid that was given or seen."""
        if self.settings.freq is not None:
            return Grid.named(self.settings.freq)
        grid = self.steps.grid()
        if grid is None:
            raise UserError(f"{self.source} has a single row for each series: no step is seen")
        return grid


def extended(values: np.ndarray, size: int, fill: object) -> np.ndarray:
    """Append a fill up to some size."""
    more = np.full(size - len(values), fill, values.dtype)
    return np.concatenate([values, more]) if len(more) else values
