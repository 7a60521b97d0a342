"""First pass over a table of series: find its series, their time ranges and their frequency."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from rnn_lab.errors import UserError
from rnn_lab.io.dates import is_regular_only_day_first
from rnn_lab.io.lines import format_names
from rnn_lab.io.tables import (
    Chunk,
    categorical_columns,
    check_columns,
    is_text,
    read_numbers,
    read_strings,
    read_times,
)
from rnn_lab.tasks.forecasting.panel.frequency import Frequency, FrequencyInference
from rnn_lab.tasks.forecasting.panel.panel import PanelConfig

log = logging.getLogger(__name__)


class SortedRows(NamedTuple):
    """The rows of a chunk, stably sorted by series.

    Attributes:
        order: Row of the chunk, `(rows,)`.
        codes: Index of the series, `(rows,)`.
        times: Times, `(rows,)` int64.
        firsts: Positions of the first row of each series in the chunk.
    """

    order: np.ndarray
    codes: np.ndarray
    times: np.ndarray
    firsts: np.ndarray

    @property
    def series(self) -> np.ndarray:
        """Indices of the series in the chunk."""
        return self.codes[self.firsts]

    @property
    def lasts(self) -> np.ndarray:
        """Positions of the last row of each series in the chunk."""
        return np.append(self.firsts[1:], len(self.codes)) - 1


class RowReader:
    """Read series and times of the rows of a table, chunk by chunk from its start.

    Args:
        config: Roles of the columns.
        numbered: Whether times are plain numbers.
        ids: Indices of known series; new ones are added to it.
    """

    def __init__(self, config: PanelConfig, numbered: bool, ids: dict[str, int]) -> None:
        self.config = config
        self.numbered = numbered
        self.ids = ids
        self.counts = np.zeros(0, np.int64)  # rows of each series so far

    def read(self, chunk: Chunk) -> SortedRows:
        """Read the next chunk."""
        codes = self._codes(chunk)
        order = np.argsort(codes, kind="stable")
        codes = codes[order]
        firsts = np.flatnonzero(np.diff(codes, prepend=-1))
        counts = np.diff(np.append(firsts, len(codes)))
        self.counts = extend(self.counts, len(self.ids), 0)
        if self.config.time_column is None:
            timestamps = self.counts[codes] + np.arange(len(codes)) - np.repeat(firsts, counts)
        else:
            timestamps = self._times(chunk, self.config.time_column)[order]
        self.counts[codes[firsts]] += counts
        return SortedRows(order, codes, timestamps, firsts)

    def _codes(self, chunk: Chunk) -> np.ndarray:
        if self.config.id_column is None:
            self.ids.setdefault("", 0)
            return np.zeros(len(chunk.frame), np.int64)
        import pandas as pd

        codes, names = pd.factorize(read_strings(chunk, self.config.id_column))
        index = [self.ids.setdefault(name, len(self.ids)) for name in names]
        return np.array(index, np.int64)[codes]

    def _times(self, chunk: Chunk, column: str) -> np.ndarray:
        timestamps, numbered = read_times(chunk, column)
        if numbered != self.numbered:
            raise UserError(f"{chunk.where(0)}: column {column!r} mixes numbers and timestamps")
        return timestamps


class PanelScanner:
    """Scan the chunks of a table.

    Args:
        first: The first chunk, from which the roles of columns are inferred; it is not added.
        config: Roles of the columns.
        categories: Categories of text columns; None collects them from the table.

    Attributes:
        start_times: Time of the first row of each series, `(series,)` int64.
        end_times: Time of the last row of each series, `(series,)` int64.
        ids: Indices of the series by name.
        static: Static covariates by column, a value per series.
        notices: Messages about the table, to be logged.
    """

    def __init__(
        self, first: Chunk, config: PanelConfig, categories: Mapping[str, list[str]] | None
    ) -> None:
        self.source = first.source
        self._fixed_categories = categories
        self.notices: list[str] = []
        columns = [config.time_column, config.id_column]
        columns += [*config.value_columns, *config.static_covariates]
        check_columns(first, [column for column in columns if column is not None])
        self.config = self._with_targets(first, config)
        time = config.time_column
        self.numbered = time is None or read_times(first, time)[1]
        self._check_times()
        if time is not None and is_regular_only_day_first(first.frame[time]):
            log.warning(
                "%s: the dates in %r are read with the month first; only with the day first they "
                "would have equal steps: write them as 2024-01-31 if the day comes first",
                *(self.source, time),
            )
        covariates = (*config.future_covariates, *config.static_covariates)
        self._texts: dict[str, set[str]] = {c: set() for c in covariates if self._is_text(first, c)}
        self.ids: dict[str, int] = {}
        self.rows = RowReader(self.config, self.numbered, self.ids)
        self.inference = FrequencyInference(self.numbered)
        self.start_times = self.end_times = np.zeros(0, np.int64)
        self.static: dict[str, np.ndarray] = {}

    def _with_targets(self, chunk: Chunk, config: PanelConfig) -> PanelConfig:
        if config.targets is not None:
            return config
        used = {config.time_column, config.id_column, *config.value_columns}
        used |= {*config.static_covariates}
        unused = [str(column) for column in chunk.frame.columns if column not in used]
        categorical = set(categorical_columns(chunk))
        not_numeric = [column for column in unused if column in categorical]
        if not_numeric:
            self.notices.append(
                f"ignored columns that are not numeric: {format_names(not_numeric)}"
            )
        targets = [column for column in unused if column not in categorical]
        if not targets:
            raise UserError(f"{chunk.source} has no numeric column to forecast")
        return replace(config, targets=targets)

    def _check_times(self) -> None:
        freq = self.config.freq
        if self.numbered and self.config.calendar:
            raise UserError(f"calendar features need timestamps, but {self.source} has numbers")
        if freq is not None and self.numbered != (Frequency.parse(freq).kind == "number"):
            found = "numbers" if self.numbered else "timestamps"
            expected = f"timestamps of frequency {freq}" if self.numbered else "numbers"
            raise UserError(f"the times of {self.source} are {found}, expected {expected}")

    def _is_text(self, chunk: Chunk, column: str) -> bool:
        if self._fixed_categories is not None:
            return column in self._fixed_categories
        return column == self.config.id_column or is_text(chunk.frame[column])

    def add(self, chunk: Chunk) -> None:
        """Add a chunk."""
        known = len(self.ids)
        rows = self.rows.read(chunk)
        self._add_times(chunk, rows, known)
        for column in self.config.static_covariates:
            self._add_static(chunk, rows, column, known)
        if self._fixed_categories is None:
            for column in self._texts.keys() & set(self.config.future_covariates):
                self._texts[column].update(read_strings(chunk, column))

    def _add_times(self, chunk: Chunk, rows: SortedRows, known: int) -> None:
        """Compare each row with the one before it in its series, possibly in an earlier chunk."""
        self.start_times, self.end_times = (
            extend(x, len(self.ids), 0) for x in (self.start_times, self.end_times)
        )
        before = np.roll(rows.times, 1)
        before[rows.firsts] = self.end_times[rows.series]
        new = rows.series >= known
        has_previous = np.ones(len(before), bool)
        has_previous[rows.firsts[new]] = False
        bad = np.flatnonzero(has_previous & (rows.times <= before))
        if len(bad):
            self._refuse_order(chunk, rows, before, int(bad[np.argmin(rows.order[bad])]))
        self.inference.add(before[has_previous], rows.times[has_previous])
        self.start_times[rows.series[new]] = rows.times[rows.firsts[new]]
        self.end_times[rows.series] = rows.times[rows.lasts]

    def _refuse_order(self, chunk: Chunk, rows: SortedRows, before: np.ndarray, bad: int) -> None:
        time, previous = rows.times[bad], before[bad]
        where = f"{chunk.where(rows.order[bad])}: {self.format_time(time)}"
        where += self.of_series(rows.codes[bad])
        if time == previous:
            several = ": set --data.columns.id=NAME if the table has several series"
            raise UserError(f"{where} is duplicated{'' if self.config.id_column else several}")
        hint = "sort the rows by time"
        if self.config.id_column is None:
            hint += ", or set --data.columns.id=NAME if the table has several series"
        raise UserError(f"{where} follows {self.format_time(previous)}: {hint}")

    def _add_static(self, chunk: Chunk, rows: SortedRows, column: str, known: int) -> None:
        is_text = column in self._texts
        values = read_strings(chunk, column) if is_text else read_numbers(chunk, column, True)
        values = values[rows.order]
        static = extend(self.static.get(column, values[:0]), len(self.ids), values[0])
        new = rows.series >= known
        static[rows.series[new]] = values[rows.firsts[new]]
        for bad in np.flatnonzero(static[rows.codes] != values)[:1]:
            code = rows.codes[bad]
            raise UserError(
                f"{chunk.where(rows.order[bad])}: static covariate {column!r}"
                f"{self.of_series(code)} changes from {static[code]} to {values[bad]}"
            )
        self.static[column] = static

    def format_time(self, time: int | np.integer) -> str:
        """Format a time for messages."""
        if self.numbered:
            return str(int(time))
        timestamp = np.datetime64(int(time), "ns")
        text = str(timestamp if time % 10**9 else timestamp.astype("datetime64[s]"))
        return text.replace("T", " ")

    def of_series(self, series: int | np.integer) -> str:
        """Format the name of a series for messages; empty if there is one series."""
        name = list(self.ids)[int(series)]
        return f" of {name!r}" if name else ""

    @property
    def categories(self) -> dict[str, list[str]]:
        """Categories of each text column, sorted."""
        if self._fixed_categories is not None:
            return dict(self._fixed_categories)
        columns = self.config.static_covariates
        static = {column: set(self.static[column]) for column in columns if column in self._texts}
        return {column: sorted(names) for column, names in {**self._texts, **static}.items()}

    @property
    def frequency(self) -> Frequency:
        """The configured or inferred frequency."""
        if self.config.freq is not None:
            return Frequency.parse(self.config.freq)
        frequency = self.inference.frequency()
        if frequency is None:
            raise UserError(
                f"cannot infer the frequency of {self.source}: each series has a single row"
            )
        return frequency


def extend(values: np.ndarray, size: int, fill: object) -> np.ndarray:
    """Append a fill value up to a size."""
    more = np.full(size - len(values), fill, values.dtype)
    return np.concatenate([values, more]) if len(more) else values
