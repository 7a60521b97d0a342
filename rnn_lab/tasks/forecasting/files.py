"""Data modules of time series in files of the user."""

from abc import abstractmethod
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from platformdirs import user_cache_path

from rnn_lab.core.options import as_options
from rnn_lab.errors import UserError
from rnn_lab.io.cache import get_or_build
from rnn_lab.io.hashing import file_sha256, hash_of
from rnn_lab.io.lines import format_names
from rnn_lab.io.progress import progress
from rnn_lab.io.tables import Chunk, read_frames, starts_with_timestamp
from rnn_lab.tasks.forecasting.data import ForecastDataModule
from rnn_lab.tasks.forecasting.panel.builder import read_panel
from rnn_lab.tasks.forecasting.panel.panel import FORMAT, Panel, PanelConfig
from rnn_lab.tasks.forecasting.panel.scaling import Kind
from rnn_lab.tasks.forecasting.panel.splits import SplitSpec

TIME_NAMES = ("ds", "date", "datetime", "time", "timestamp")
LONG_COLUMNS = ("unique_id", "ds", "y")  # the long format of Nixtla's libraries
NO_TIME = "none"  # value of columns.time for a table without times


class FileDataModule(ForecastDataModule):
    """Series of one file, prepared in the user's cache folder under a hash of its content."""

    header: ClassVar[list[str] | None] = None  # column names of a file without a header row
    separator: str | None = None  # of the fields; None: inferred

    @abstractmethod
    def path(self) -> Path:
        """Return the path of the file."""

    @abstractmethod
    def config(self) -> PanelConfig:
        """Return the roles of the columns."""

    def data_version(self) -> str:
        """Return a hash of the file, see `LabDataModule`."""
        return hash_of(file_sha256(self.path()))

    def _prepare(self) -> Panel:
        path, config = self.path(), self.config()
        key = {
            "panel": FORMAT,
            "content": file_sha256(path),
            "suffix": path.name.removesuffix(".gz").rpartition(".")[2].lower(),
            "header": self.header,
            "separator": self.separator,
            "config": asdict(config),
        }
        folder = get_or_build(
            user_cache_path("rnn_lab") / "prepared",
            key,
            lambda folder: self._build(folder, path, config),
        )
        return Panel.open(folder)

    def _build(self, folder: Path, path: Path, config: PanelConfig) -> None:
        label = f"reading {path.name}"
        table = partial(read_frames, path, self.header, self.separator)
        read_panel(lambda: progress(table(), label), config, folder)


@dataclass(frozen=True)
class Columns:
    """Roles of the columns of a table.

    Args:
        time: Timestamps; None takes `ds`, `date`, `datetime`, `time` or `timestamp`, else the first
            column or the only other one that starts with a timestamp; `none` numbers the rows.
        id: Name of the series of a row, in a table in long format.
        future_covariates: Covariates that are known for the steps to forecast, numeric or text.
        past_covariates: Covariates that are known for the past only, numeric.
        static_covariates: Covariates that are constant in a series, numeric or text; the `id`
            column may be one.
        separator: Separator of the fields of a CSV file, such as `;` or `tab`; None: inferred.
    """

    time: str | None = None
    id: str | None = None
    future_covariates: list[str] | None = None
    past_covariates: list[str] | None = None
    static_covariates: list[str] | None = None
    separator: str | None = None


class ForecastingFiles(FileDataModule):
    """Your own series: a CSV or Parquet table in wide or long format.

    A wide table has a row per time and a column per series or channel. A long table has a row per
    time and series, and a column that names the series. A file with the columns `unique_id`, `ds`
    and `y` is read as a long table. Missing values may be empty fields or missing rows; the loss
    ignores them. Times with a time zone are converted to UTC.

    Args:
        file: CSV, TSV or TXT file, also as `.gz`, or Parquet file; the first row names the columns.
            A comma is the decimal mark if fields are separated otherwise and no number has a point.
        input_length: See `ForecastDataModule`, as for the two that follow.
        targets: Columns to forecast; None takes all numeric columns without another role.
        columns: Roles of the other columns.
        calendar: Calendar features of the timestamps: `minute`, `hour`, `weekday`, `day`, `week`,
            `month`, `dayofyear`.
        freq: Frequency as a pandas alias, such as `h`, `15min`, `D` or `MS`; None infers it.
        split: See `ForecastDataModule`, as for all that follow.
    """

    machine_specific = (*FileDataModule.machine_specific, "file")

    def __init__(
        self,
        file: str | None = None,
        input_length: int = 96,
        horizon: int = 96,
        batch_size: int = 32,
        *,
        targets: list[str] | None = None,
        columns: Columns | None = None,
        calendar: list[str] | None = None,
        freq: str | None = None,
        split: SplitSpec | None = None,
        scaling: Kind = "standard",
        season_length: int | None = None,
        stride: int = 1,
    ) -> None:
        super().__init__(
            input_length,
            horizon,
            batch_size,
            split=split,
            scaling=scaling,
            season_length=season_length,
            stride=stride,
        )
        if file is None:
            raise UserError("ForecastingFiles requires a file: set --data.file=FILE")
        self.file = Path(file).expanduser()
        self.targets, self.calendar, self.freq = targets, calendar or [], freq
        self.columns = as_options(Columns, columns)
        self.separator = self.columns.separator

    def path(self) -> Path:
        """Return the path of the file."""
        return self.file

    def config(self) -> PanelConfig:
        """Return the roles of the columns; infer missing ones from the first rows."""
        with closing(read_frames(self.file, separator=self.separator)) as chunks:
            chunk = next(chunks)
        names = [str(column) for column in chunk.frame.columns]
        columns, id_column, targets = self.columns, self.columns.id, self.targets
        if id_column is None and set(LONG_COLUMNS) <= set(names):
            id_column, targets = "unique_id", targets or ["y"]
        time_column = columns.time or self._find_time_column(chunk, names, id_column)
        return PanelConfig(
            time_column=None if time_column == NO_TIME else time_column,
            id_column=id_column,
            targets=targets,
            future_covariates=columns.future_covariates or [],
            past_covariates=columns.past_covariates or [],
            static_covariates=columns.static_covariates or [],
            calendar=self.calendar,
            freq=self.freq,
        )

    def _find_time_column(self, chunk: Chunk, names: list[str], id_column: str | None) -> str:
        """Find a column with a known name; else the first, or only other one with timestamps."""
        known = [name for name in names if name.lower() in TIME_NAMES]
        if known:
            return min(known, key=lambda name: TIME_NAMES.index(name.lower()))
        columns = self.columns
        covariates = columns.future_covariates, columns.past_covariates, columns.static_covariates
        used = {id_column, *(name for group in (self.targets, *covariates) for name in group or [])}
        times = [name for name in names if name not in used and starts_with_timestamp(chunk, name)]
        if times[:1] == names[:1] or len(times) == 1:
            return times[0]
        options = f"set --data.columns.time=NAME, or --data.columns.time={NO_TIME} to number rows"
        if times:
            raise UserError(f"{chunk.source} has timestamps in {format_names(times)}: {options}")
        start = f"{names[0]!r} starts with {chunk.frame.iloc[0, 0]!s:.50}"
        raise UserError(
            f"{chunk.source} has no column that is named {', '.join(TIME_NAMES)}, or that starts "
            f"with a time such as 2024-01-31 ({start}): {options}"
        )
