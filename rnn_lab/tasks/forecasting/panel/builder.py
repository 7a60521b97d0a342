"""From tables to panels: read twice, first to see what there is, then to write it down."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

from rnn_lab.errors import UserError
from rnn_lab.io.tables import Chunk, read_numbers, read_strings
from rnn_lab.tasks.forecasting.panel.frequency import calendar_features
from rnn_lab.tasks.forecasting.panel.panel import Panel, PanelConfig
from rnn_lab.tasks.forecasting.panel.scanner import PanelScanner, RowReader, SortedRows

BLOCK = 1 << 16  # rows that are worked on at once
Table = Callable[[], Iterable[Chunk]]


def read_panel(
    table: Table,
    settings: PanelConfig,
    folder: Path | None = None,
    levels: Mapping[str, list[str]] | None = None,
) -> Panel:
    """Put the series of a table on their grids.

    Args:
        table: Reads the table anew, chunk by chunk.
        settings: Which column is what.
        folder: Where the panel goes; None keeps it in memory.
        levels: What text columns can say; None learns it from the table.

    Returns:
        The panel, its settings with the targets and the frequency that were found.

    Raises:
        UserError: If the table is not as the settings say: a column is missing or of the wrong
            type, a value not finite, a time out of order, twice there or off the grid, more than
            half of a grid empty, or what is known of the future missing.
    """
    chunks = iter(table())
    first = next(chunks)
    survey = PanelScanner(first, settings, levels)
    for chunk in chain([first], chunks):
        survey.add(chunk)
    writer = Writer(survey, folder)
    for chunk in table():
        writer.add(chunk)
    return writer.panel()


class Writer:
    """The second reading: values to their places on the grid.

    Args:
        survey: What the first reading found.
        folder: Where the panel goes; None keeps it in memory.
    """

    def __init__(self, survey: PanelScanner, folder: Path | None) -> None:
        self.survey = survey
        self.folder = folder
        self.grid = survey.grid
        self.levels = survey.levels
        self.settings = replace(survey.settings, freq=self.grid.name)
        self.rows = RowReader(self.settings, survey.numbered, dict(survey.ids))
        places, _ = self.grid.place(survey.begins, survey.ends)
        self.lengths = places + 1
        self.gaps = self.lengths - survey.rows.seen
        self._check_gaps()
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        self.holed = int(np.argmax(self.gaps > 0))  # the first series with gaps, if any has
        self.gap: int | None = None  # its first row that is missing
        self._arrange()

    def _check_gaps(self) -> None:
        steps, grid = self.survey.steps, self.grid
        months = grid.kind in ("start", "end")
        least = steps.least_months if months else steps.least
        if grid.kind != "business" and least > grid.step:
            raise UserError(
                f"{self.survey.source} has steps of {replace(grid, step=least).name or 1} and "
                f"more, none of {grid.name or 1}: freq is another"
            )
        for series in np.flatnonzero(2 * self.gaps > self.lengths)[:1]:
            survey, length = self.survey, self.lengths[series]
            raise UserError(
                f"{survey.source} has {length - self.gaps[series]} of the {length} rows that "
                f"steps of {self.grid.name or 1} give{survey.of(series)}: steps are mixed, or freq "
                "is another"
            )

    def _arrange(self) -> None:
        """Say which columns the panel has, and make room for them."""
        settings, levels = self.settings, self.levels
        known = []
        for column in settings.known:
            texts = [f"{column}={level}" for level in levels[column]] if column in levels else None
            known += [column] if texts is None else texts
        self.targets, self.observed = list(settings.targets or []), settings.observed
        self.known = [*known, *settings.calendar]
        start = len(self.targets) + len(known)
        self.calendar = slice(start, start + len(settings.calendar))
        shape = (int(self.offsets[-1]), self.calendar.stop + len(self.observed))
        self.buffer = self._room(shape)

    def _room(self, shape: tuple[int, int]) -> np.ndarray:
        if self.folder is None:
            return np.full(shape, np.nan, np.float32)
        room = np.memmap(self.folder / "rows.bin", np.float32, "w+", shape=shape)
        for first in range(0, shape[0], BLOCK):
            room[first : first + BLOCK] = np.nan
        return room

    def add(self, chunk: Chunk) -> None:
        """Write some rows."""
        rows = self.rows.read(chunk)
        places, exact = self.grid.place(self.survey.begins[rows.codes], rows.times)
        bad = np.flatnonzero(~exact)
        if len(bad):
            self._refuse_place(chunk, rows, int(bad[np.argmin(rows.order[bad])]))
        if self.gaps.any() and self.gap is None:
            self._find_gap(places[rows.codes == self.holed])
        values = np.full((len(places), self.buffer.shape[1]), np.nan, np.float32)
        values[:, : self.calendar.start] = np.concatenate(list(self._given(chunk)), 1)
        for column, name in enumerate(self.observed, self.calendar.stop):
            values[:, column] = read_numbers(chunk, name)
        self.buffer[self.offsets[rows.codes] + places] = values[rows.order]

    def _given(self, chunk: Chunk) -> Iterator[np.ndarray]:
        """Targets and what is known but for the calendar, `(rows, some)` each."""
        for column in self.targets:
            yield read_numbers(chunk, column)[:, None]
        for column in self.settings.known:
            if column in self.levels:
                levels = np.array(self.levels[column], object)
                yield (read_strings(chunk, column)[:, None] == levels).astype(np.float32)
            else:
                yield read_numbers(chunk, column, True)[:, None]

    def _refuse_place(self, chunk: Chunk, rows: SortedRows, bad: int) -> None:
        survey, series = self.survey, rows.codes[bad]
        raise UserError(
            f"{chunk.where(rows.order[bad])}: {survey.show(rows.times[bad])}{survey.of(series)} is "
            f"not at a step of {self.grid.name or 1} from {survey.show(survey.begins[series])}: "
            "steps are mixed, or freq is another"
        )

    def _find_gap(self, places: np.ndarray) -> None:
        """Remember the first row that the first series with gaps lacks."""
        done = self.rows.seen[self.holed] - len(places)
        wanted = done + np.arange(len(places))
        for hole in wanted[places != wanted][:1]:
            self.gap = int(hole)

    def panel(self) -> Panel:
        """Finish the panel."""
        notices = [*self.survey.notices, *self._tell_gaps()]
        self._write_calendar()
        panel = Panel(
            settings=self.settings,
            buffer=self.buffer,
            offsets=self.offsets,
            begins=self.survey.begins,
            ids=list(self.survey.ids),
            targets=self.targets,
            known=self.known,
            observed=self.observed,
            levels=self.levels,
            static=self._static(),
            categories=self._categories(),
            notices=notices,
        )
        if self.folder is not None:
            panel.save(self.folder)
        return panel

    def _tell_gaps(self) -> Iterator[str]:
        if self.gap is None:
            return
        survey = self.survey
        time = self.grid.at(survey.begins[self.holed], np.int64(self.gap))
        first = f"{survey.show(int(time))}{survey.of(self.holed)}"
        if self.settings.known:
            columns = ", ".join(self.settings.known)
            raise UserError(
                f"{survey.source} has no row for {first}: {columns} must be known there"
            )
        yield f"{int(self.gaps.sum())} rows are missing, the first is {first}"

    def _write_calendar(self) -> None:
        names, begins = self.settings.calendar, self.survey.begins
        for low in range(0, len(self.buffer) if names else 0, BLOCK):
            rows = np.arange(low, min(low + BLOCK, len(self.buffer)))
            series = np.searchsorted(self.offsets, rows, "right") - 1
            moments = self.grid.at(begins[series], rows - self.offsets[series])
            self.buffer[low : low + BLOCK, self.calendar] = calendar_features(names, moments)

    def _static(self) -> np.ndarray:
        columns = [self.survey.static[c] for c in self.settings.static if c not in self.levels]
        return _side_by_side(columns, len(self.lengths), np.float32)

    def _categories(self) -> np.ndarray:
        columns = []
        for column in self.settings.static:
            if column in self.levels:
                number = {level: n for n, level in enumerate(self.levels[column], 1)}
                columns.append([number.get(value, 0) for value in self.survey.static[column]])
        return _side_by_side(columns, len(self.lengths), np.int64)


def _side_by_side(columns: list, rows: int, dtype: type) -> np.ndarray:
    return np.ascontiguousarray(np.array(columns, dtype).reshape(len(columns), rows).T)
