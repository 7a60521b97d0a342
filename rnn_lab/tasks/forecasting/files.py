"""Series to forecast of the user's own files."""

from abc import abstractmethod
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from platformdirs import user_cache_path

from rnn_lab.errors import UserError
from rnn_lab.io.cache import get_or_build
from rnn_lab.io.hashing import file_sha256
from rnn_lab.io.progress import progress
from rnn_lab.io.tables import Chunk, read_frames, read_times
from rnn_lab.tasks.forecasting.data import ForecastDataModule
from rnn_lab.tasks.forecasting.panel.builder import read_panel
from rnn_lab.tasks.forecasting.panel.panel import FORMAT, Panel, PanelConfig
from rnn_lab.tasks.forecasting.panel.scaling import Kind
from rnn_lab.tasks.forecasting.panel.splits import Split

TIME_NAMES = ("ds", "date", "datetime", "time", "timestamp")
LONG = ("unique_id", "ds", "y")  # a layout that other forecasters share
NUMBERED = "none"


class FileDataModule(ForecastDataModule):
    """Series of one file, prepared in the user's cache folder under a hash of its content."""

    names: ClassVar[list[str] | None] = None  # of the columns, where the file does not say them

    @abstractmethod
    def path(self) -> Path:
        """Find the file."""

    @abstractmethod
    def settings(self) -> PanelConfig:
        """Say which column of the file is what."""

    def _prepare(self) -> Panel:
        path, settings = self.path(), self.settings()
        key = {
            "panel": FORMAT,
            "content": file_sha256(path),
            "names": self.names,
            "settings": asdict(settings),
        }
        folder = get_or_build(
            user_cache_path("rnn_lab") / "prepared",
            key,
            lambda folder: self._build(folder, path, settings),
        )
        return Panel.open(folder)

    def _build(self, folder: Path, path: Path, settings: PanelConfig) -> None:
        reading = f"reading {path.name}"
        read_panel(lambda: progress(read_frames(path, self.names), reading), settings, folder)


class ForecastingFiles(FileDataModule):
    """Your own series: a table of CSV or Parquet, wide or long.

    Wide has a row for each time and a column for each series or channel. Long has a row for each
    time of each series, and a column that names the series. A file with the columns `unique_id`,
    `ds` and `y` is long without being told. Fields may be empty where nothing was observed, and
    rows may be missing; neither is trained on. Times with a zone are read as UTC.

    Args:
        file: CSV, TSV or TXT, each also as `.gz`, or Parquet; the first row names the columns.
        input_length: See `ForecastDataModule`, as the two that follow.
        time_column: Column of the times; None takes `ds`, `date`, `datetime`, `time` or
            `timestamp`, else the first column; `none` numbers the rows.
        id_column: Column that names the series, of a long table.
        targets: Columns to forecast; None takes all numeric ones without another role.
        known: Columns that are known of the future, too.
        observed: Columns that are only known of the past.
        static: Columns that are constant in a series; `id_column` may be one.
        calendar: What timestamps tell the model: `minute`, `hour`, `weekday`, `day`, `week`,
            `month`, `dayofyear`.
        freq: Step from row to row, such as `h`, `15min`, `D` or `MS`; None infers it.
        split: See `ForecastDataModule`, as all that follow.
    """

    machine_specific = (*FileDataModule.machine_specific, "file")

    def __init__(
        self,
        file: str | None = None,
        input_length: int = 96,
        horizon: int = 96,
        batch_size: int = 32,
        *,
        time_column: str | None = None,
        id_column: str | None = None,
        targets: list[str] | None = None,
        known: list[str] | None = None,
        observed: list[str] | None = None,
        static: list[str] | None = None,
        calendar: list[str] | None = None,
        freq: str | None = None,
        split: Split | None = None,
        scaling: Kind = "standard",
        season: int | None = None,
        stride: int = 1,
    ) -> None:
        super().__init__(
            input_length,
            horizon,
            batch_size,
            split=split,
            scaling=scaling,
            season=season,
            stride=stride,
        )
        if file is None:
            raise UserError("ForecastingFiles needs a file: give --data.file=FILE")
        self.file = Path(file).expanduser()
        self.time_column = time_column
        self.id_column = id_column
        self.targets = targets
        self.options: dict[str, Any] = {
            "known": known or [],
            "observed": observed or [],
            "static": static or [],
            "calendar": calendar or [],
            "freq": freq,
        }

    def path(self) -> Path:
        """The file that was given."""
        return self.file

    def settings(self) -> PanelConfig:
        """What was given; what was not is found in the first rows."""
        with closing(read_frames(self.file)) as chunks:
            chunk = next(chunks)
        there = [str(column) for column in chunk.frame.columns]
        id_column, targets = self.id_column, self.targets
        if id_column is None and set(LONG) <= set(there):
            id_column, targets = "unique_id", targets or ["y"]
        time_column = self.time_column or _find_time(chunk, there)
        return PanelConfig(
            time_column=None if time_column == NUMBERED else time_column,
            id_column=id_column,
            targets=targets,
            **self.options,
        )


def _find_time(chunk: Chunk, columns: list[str]) -> str:
    named = [column for column in columns if column.lower() in TIME_NAMES]
    if named:
        return min(named, key=lambda column: TIME_NAMES.index(column.lower()))
    return columns[0] if _holds_times(chunk, columns[0]) else _refuse(chunk)


def _refuse(chunk: Chunk) -> str:
    raise UserError(
        f"{chunk.source} has no column of times that is known by its name: give "
        f"--data.time_column=NAME, or --data.time_column={NUMBERED} to number the rows"
    )


def _holds_times(chunk: Chunk, column: str) -> bool:
    try:
        return not read_times(chunk, column)[1]
    except UserError:
        return False
