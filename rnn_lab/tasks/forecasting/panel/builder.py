"""Build panels from tables in two passes: the first finds the series, the second writes values."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

from rnn_lab.errors import UserError
from rnn_lab.io.tables import Chunk, read_number_columns, read_numbers, read_strings
from rnn_lab.tasks.forecasting.panel.frequency import calendar_features
from rnn_lab.tasks.forecasting.panel.missing import MissingValues
from rnn_lab.tasks.forecasting.panel.panel import Panel, PanelConfig
from rnn_lab.tasks.forecasting.panel.scanner import PanelScanner, RowReader, SortedRows

BLOCK = 1 << 16  # rows that are processed at once
Table = Callable[[], Iterable[Chunk]]


def read_panel(
    table: Table,
    config: PanelConfig,
    folder: Path | None = None,
    categories: Mapping[str, list[str]] | None = None,
) -> Panel:
    """Read the series of a table at a regular frequency.

    Args:
        table: Reads the table from its start, chunk by chunk.
        config: Roles of the columns.
        folder: Folder of the panel; None keeps it in memory.
        categories: Categories of text columns; None collects them from the table.

    Returns:
        The panel, its config with inferred targets and frequency.

    Raises:
        UserError: If the table does not match the config: a column is missing or of the wrong type,
            a value is not finite, a time is out of order, duplicated or not at the frequency, more
            than half of the rows of a series are missing, or future covariates are missing.
    """
    chunks = iter(table())
    first = next(chunks)
    scanner = PanelScanner(first, config, categories)
    for chunk in chain([first], chunks):
        scanner.add(chunk)
    builder = PanelBuilder(scanner, folder)
    for chunk in table():
        builder.add(chunk)
    return builder.panel()


class PanelBuilder:
    """Second pass over a table: write the values to their rows.

    Args:
        scanner: Result of the first pass.
        folder: Folder of the panel; None keeps it in memory.
    """

    def __init__(self, scanner: PanelScanner, folder: Path | None) -> None:
        self.scanner = scanner
        self.folder = folder
        self.frequency = scanner.frequency
        self.categories = scanner.categories
        self.config = replace(scanner.config, freq=self.frequency.name)
        self.rows = RowReader(self.config, scanner.numbered, dict(scanner.ids))
        last, _ = self.frequency.to_index(scanner.start_times, scanner.end_times)
        self.lengths = last + 1
        self.gaps = self.lengths - scanner.rows.counts
        self._check_gaps()
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        self.first_with_gaps = int(np.argmax(self.gaps > 0))  # the first series with missing rows
        self.first_gap: int | None = None  # its first missing row
        self._allocate()

    def _check_gaps(self) -> None:
        inference, frequency = self.scanner.inference, self.frequency
        months = frequency.kind in ("start", "end")
        smallest = inference.smallest_months if months else inference.smallest
        if frequency.kind != "business" and smallest > frequency.step:
            found = replace(frequency, step=smallest).name or 1
            raise UserError(
                f"freq {frequency.name or 1} does not match {self.scanner.source}, whose smallest "
                f"step is {found}: set another freq"
            )
        for series in np.flatnonzero(2 * self.gaps > self.lengths)[:1]:
            scanner, length = self.scanner, self.lengths[series]
            raise UserError(
                f"{scanner.source} has only {length - self.gaps[series]} of {length} rows at "
                f"freq {frequency.name or 1}{scanner.of_series(series)}: the steps are irregular, "
                "or freq is wrong"
            )

    def _allocate(self) -> None:
        """Determine the columns of the panel, and allocate its values."""
        config, categories = self.config, self.categories
        covariates = []
        for column in config.future_covariates:
            indicators = [f"{column}={name}" for name in categories.get(column, [])]
            covariates += indicators if column in categories else [column]
        self.targets = list(config.targets or [])
        self.future_covariates = [*covariates, *config.calendar]
        start = len(self.targets) + len(covariates)
        self.calendar = slice(start, start + len(config.calendar))
        columns = self.calendar.stop + len(config.past_covariates)
        self.optional = np.r_[: len(self.targets), self.calendar.stop : columns]  # may be missing
        self.missing = MissingValues(len(self.lengths), len(self.targets))
        self.values = self._allocate_values((int(self.offsets[-1]), columns))

    def _allocate_values(self, shape: tuple[int, int]) -> np.ndarray:
        if self.folder is None:
            return np.full(shape, np.nan, np.float32)
        values = np.memmap(self.folder / "rows.bin", np.float32, "w+", shape=shape)
        for first in range(0, shape[0], BLOCK):
            values[first : first + BLOCK] = np.nan
        return values

    def add(self, chunk: Chunk) -> None:
        """Write the rows of a chunk."""
        rows = self.rows.read(chunk)
        index, exact = self.frequency.to_index(self.scanner.start_times[rows.codes], rows.times)
        bad = np.flatnonzero(~exact)
        if len(bad):
            self._refuse_time(chunk, rows, int(bad[np.argmin(rows.order[bad])]))
        if self.gaps.any() and self.first_gap is None:
            self._find_gap(index[rows.codes == self.first_with_gaps])
        values = np.full((len(index), self.values.shape[1]), np.nan, np.float32)
        values[:, : self.calendar.start] = np.concatenate(list(self._columns(chunk)), 1)
        for column, name in enumerate(self.config.past_covariates, self.calendar.stop):
            values[:, column] = read_numbers(chunk, name)
        values = values[rows.order]
        self.missing.add(rows.codes, index, np.isnan(values[:, self.optional]))
        self.values[self.offsets[rows.codes] + index] = values

    def _columns(self, chunk: Chunk) -> Iterator[np.ndarray]:
        """Yield targets and future covariates without the calendar, `(rows, columns)` each."""
        yield read_number_columns(chunk, self.targets)
        for column in self.config.future_covariates:
            if column in self.categories:
                names = np.array(self.categories[column], object)
                yield (read_strings(chunk, column)[:, None] == names).astype(np.float32)
            else:
                yield read_numbers(chunk, column, True)[:, None]

    def _refuse_time(self, chunk: Chunk, rows: SortedRows, bad: int) -> None:
        scanner, series = self.scanner, rows.codes[bad]
        time, start = rows.times[bad], scanner.start_times[series]
        raise UserError(
            f"{chunk.where(rows.order[bad])}: {scanner.format_time(time)}"
            f"{scanner.of_series(series)} is not a multiple of {self.frequency.name or 1} after "
            f"{scanner.format_time(start)}: the steps are irregular, or freq is wrong"
        )

    def _find_gap(self, index: np.ndarray) -> None:
        """Find the first missing row of the first series with missing rows."""
        first = self.rows.counts[self.first_with_gaps] - len(index)
        expected = first + np.arange(len(index))
        for row in expected[index != expected][:1]:
            self.first_gap = int(row)

    def panel(self) -> Panel:
        """Return the finished panel."""
        notices = [*self.scanner.notices, *self._gap_notices(), *self._missing_notices()]
        self._write_calendar()
        panel = Panel(
            config=self.config,
            values=self.values,
            offsets=self.offsets,
            start_times=self.scanner.start_times,
            ids=list(self.scanner.ids),
            targets=self.targets,
            future_covariates=self.future_covariates,
            past_covariates=self.config.past_covariates,
            categories=self.categories,
            static=self._static(),
            category_codes=self._category_codes(),
            notices=notices,
        )
        if self.folder is not None:
            panel.save(self.folder)
        return panel

    def _gap_notices(self) -> Iterator[str]:
        if self.first_gap is None:
            return
        scanner = self.scanner
        first = self._row_name(self.first_with_gaps, self.first_gap)
        if self.config.future_covariates:
            columns = ", ".join(self.config.future_covariates)
            raise UserError(
                f"{scanner.source} has no row for {first}: future covariates ({columns}) must not "
                "be missing"
            )
        yield f"{int(self.gaps.sum())} rows are missing, the first is {first}"

    def _missing_notices(self) -> Iterator[str]:
        if self.missing.count == 0:
            return
        series, row = self.missing.first()
        values = self.values[self.offsets[series] + row, self.optional]
        names = [*self.targets, *self.config.past_covariates]
        column = names[int(np.isnan(values).argmax())]
        first = f"{column!r} at {self._row_name(series, row)}"
        yield f"{self.missing.count} values are missing, the first is {first}"

    def _row_name(self, series: int, row: int) -> str:
        """Return the time of a row, and its series if there are several."""
        scanner = self.scanner
        time = self.frequency.to_timestamp(scanner.start_times[series], np.int64(row))
        return f"{scanner.format_time(int(time))}{scanner.of_series(series)}"

    def _write_calendar(self) -> None:
        names, starts = self.config.calendar, self.scanner.start_times
        for low in range(0, len(self.values) if names else 0, BLOCK):
            rows = np.arange(low, min(low + BLOCK, len(self.values)))
            series = np.searchsorted(self.offsets, rows, "right") - 1
            times = self.frequency.to_timestamp(starts[series], rows - self.offsets[series])
            self.values[low : low + BLOCK, self.calendar] = calendar_features(names, times)

    def _static(self) -> np.ndarray:
        names = [c for c in self.config.static_covariates if c not in self.categories]
        columns = [self.scanner.static[name] for name in names]
        return _stack_columns(columns, len(self.lengths), np.float32)

    def _category_codes(self) -> np.ndarray:
        columns = []
        for column in self.config.static_covariates:
            if column in self.categories:
                codes = {name: code for code, name in enumerate(self.categories[column], 1)}
                columns.append([codes.get(value, 0) for value in self.scanner.static[column]])
        return _stack_columns(columns, len(self.lengths), np.int64)


def _stack_columns(columns: list, rows: int, dtype: type) -> np.ndarray:
    return np.ascontiguousarray(np.array(columns, dtype).reshape(len(columns), rows).T)
