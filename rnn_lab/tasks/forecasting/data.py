"""Series to forecast: the data module, and generated series."""

import logging
import os
from abc import abstractmethod
from functools import cached_property
from typing import Any, ClassVar, cast

import numpy as np

from rnn_lab.core.datamodule import LabDataModule, ResumableLoader
from rnn_lab.core.samplers import BucketBatchSampler
from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting import synthetic as synthetic_series
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.panel.panel import Panel, PanelConfig
from rnn_lab.tasks.forecasting.panel.scaling import Kind, Scaler
from rnn_lab.tasks.forecasting.panel.splits import Split, check_split, split_rows
from rnn_lab.tasks.forecasting.reader import SeriesReader
from rnn_lab.tasks.forecasting.windows import Bounds, FlatValues, WindowBatchSampler, Windows

log = logging.getLogger(__name__)
EVAL_BATCH = 256  # windows at least, where nothing is learned from a batch
EVAL_VALUES = 1 << 24  # numbers in a batch, that it may not pass for that


class ForecastDataModule(LabDataModule):
    """Series cut into what is seen and what is to be forecast.

    A family gives the panel. Splits follow each other in time; what divides the values is learned
    from training rows alone.

    Args:
        input_length: Steps that a forecast sees.
        horizon: Steps that it tells.
        batch_size: Windows in a training batch of one process.
        split: Where training, validation and test part: three fractions of the rows, three
            numbers of rows, or the times of the first validation and the first test row; None
            is the dataset's own, else 0.7, 0.1 and 0.2.
        scaling: `standard` for zero mean and unit deviation in each series, or `none`.
        season: Steps until things come again; None tells it from the frequency.
        stride: Steps from window to window.
        root: Folder of datasets; None takes `RNN_LAB_DATA`, else the user's cache folder.
    """

    batch_type = WindowBatch
    linked = (
        "input_dim",
        "input_length",
        "horizon",
        "output_dim",
        "known_dim",
        "static_dim",
        "category_sizes",
        "season",
    )
    machine_specific: ClassVar[tuple[str, ...]] = ("root",)
    default_split: ClassVar[Split] = [0.7, 0.1, 0.2]

    def __init__(
        self,
        input_length: int = 96,
        horizon: int = 96,
        batch_size: int = 32,
        *,
        split: Split | None = None,
        scaling: Kind = "standard",
        season: int | None = None,
        stride: int = 1,
        root: str | None = None,
    ) -> None:
        super().__init__(batch_size)
        sizes = {"input_length": input_length, "horizon": horizon, "stride": stride}
        for name, value in {**sizes, "season": 1 if season is None else season}.items():
            if value < 1:
                raise UserError(f"{name} must be at least 1, got {value}")
        if scaling not in ("standard", "none"):
            raise UserError(f"scaling must be standard or none, got {scaling!r}")
        self.input_length = input_length
        self.horizon = horizon
        self.parts = self.default_split if split is None else split
        check_split(self.parts)
        self.scaling: Kind = scaling
        self.stride = stride
        self.root = root
        self._season = season
        self._windows: dict[str, Windows] = {}

    @abstractmethod
    def _prepare(self) -> Panel:
        """Open the panel; prepare it first where it is not yet."""

    @cached_property
    def panel(self) -> Panel:
        """The series."""
        panel = self._prepare()
        self._tell(panel.notices)
        return panel

    @cached_property
    def scaler(self) -> Scaler:
        """What divides the values, learned from training rows."""
        ends = self._rows["train"][:, 1]
        scaler, notices = Scaler.fit(self.panel, ends, self.scaling, self.season)
        self._tell(notices)
        return scaler

    def _tell(self, notices: list[str]) -> None:
        for notice in notices:
            log.info("%s: %s", type(self).__name__, notice)

    @property
    def channels(self) -> int:
        """Columns that are forecast."""
        return len(self.panel.targets)

    @property
    def known_dim(self) -> int:
        """Columns that are known of the future."""
        return len(self.panel.known)

    @property
    def input_dim(self) -> int:
        """Columns that are seen of the past."""
        return self.panel.buffer.shape[1]

    @property
    def output_dim(self) -> int:
        """Numbers that a forecast has."""
        return self.horizon * self.channels

    @property
    def static_dim(self) -> int:
        """Numbers that say something of a whole series."""
        return self.panel.static.shape[1]

    @property
    def category_sizes(self) -> list[int]:
        """Values that each category of a series can have, the unknown one included."""
        return [len(levels) + 1 for levels in self.panel.category_levels]

    @property
    def season(self) -> int:
        """Steps until things come again."""
        return self._season or self.panel.grid.season

    @property
    def eval_batch_size(self) -> int:
        """Windows in a batch where nothing is learned from it."""
        values = (self.input_length + self.horizon) * self.input_dim
        return max(self.batch_size, min(EVAL_BATCH, EVAL_VALUES // values), 1)

    def split(self, name: str) -> Windows:
        """Open a split, `train`, `valid` or `test`."""
        if name not in self._windows:
            bounds = self._bounds(name)
            self._windows[name] = Windows(
                self.panel,
                self.scaler,
                bounds,
                self.input_length,
                self.horizon,
                self.stride,
                self._values,
            )
        return self._windows[name]

    @cached_property
    def _values(self) -> FlatValues:
        return FlatValues(self.panel, self.scaler)

    @cached_property
    def _rows(self) -> dict[str, np.ndarray]:
        return split_rows(self.panel, self.parts)

    def _bounds(self, name: str) -> Bounds:
        if name not in self._rows:
            raise UserError(
                f"{type(self).__name__} has no {name} split: it gives train, valid, test"
            )
        rows, train = self._rows[name], name == "train"
        bounds = Bounds.within(rows, self.input_length, self.horizon, self.stride, inside=train)
        if not bounds.counts.any():
            self._refuse_short(name, rows)
        short = np.flatnonzero(bounds.counts == 0)
        if train and len(short):
            first = self.panel.ids[short[0]]
            self._tell([f"{len(short)} series are too short to train on, first {first!r}"])
        return bounds

    def _refuse_short(self, name: str, rows: np.ndarray) -> None:
        longest = int(np.diff(rows).max())
        where = "" if len(rows) == 1 else f" in its longest of {len(rows)} series"
        past, horizon = self.input_length, self.horizon
        need = f"horizon {horizon}, and before it input_length {past}"
        if name == "train":
            need = f"{past + horizon}: input_length {past} and horizon {horizon}"
        raise UserError(
            f"the {name} split of {type(self).__name__} has {longest} rows{where}, a window needs "
            f"{need}"
        )

    def _make_loader(self, name: str, shuffle: bool) -> ResumableLoader:
        windows = self.split(name)
        if self.trainer:
            windows = windows.to(self.trainer.strategy.root_device)
        return ResumableLoader(windows, self._make_sampler(name, shuffle))

    def _make_sampler(self, name: str, shuffle: bool) -> BucketBatchSampler:
        order = WindowBatchSampler(
            len(self.split(name)),
            self.batch_size if shuffle else self.eval_batch_size,
            shuffle=shuffle,
            seed=int(os.environ.get("PL_GLOBAL_SEED", "0")),  # what seed_everything was given
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
        )
        return cast(BucketBatchSampler, order)  # it plans alike

    @property
    def reader(self) -> SeriesReader:
        """Reads new series as these."""
        panel = self.panel
        return SeriesReader(
            settings=panel.settings,
            levels=panel.levels,
            ids=panel.ids,
            static=panel.static,
            categories=panel.categories,
            scaler=self.scaler,
            scaling=self.scaling,
            input_length=self.input_length,
            horizon=self.horizon,
            season=self.season,
        )

    def build_spec(self) -> dict[str, Any]:
        """Say how to build this module elsewhere and how it reads series, as plain values."""
        return {**super().build_spec(), "series": self.reader.state_dict()}


class SyntheticSeries(ForecastDataModule):
    """Generated series, hourly: a trend, a day and a week, noise, and changes of regime.

    Args:
        length: Rows to draw.
        channels: Series side by side.
        data_seed: Another seed draws other series.
        input_length: See `ForecastDataModule`, as all that follow.
    """

    def __init__(
        self,
        length: int = 4000,
        channels: int = 3,
        data_seed: int = 0,
        *,
        input_length: int = 48,
        horizon: int = 24,
        batch_size: int = 32,
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
        self.length = length
        self.width = channels
        self.data_seed = data_seed

    def _prepare(self) -> Panel:
        values = synthetic_series.series(self.length, self.width, self.data_seed)
        targets = [f"y{number}" for number in range(1, self.width + 1)]
        return Panel(
            settings=PanelConfig(time_column="date", targets=targets, freq="h"),
            buffer=values,
            offsets=np.array([0, self.length]),
            begins=np.array([np.datetime64(synthetic_series.BEGIN, "ns").astype(np.int64)]),
            ids=[""],
            targets=targets,
            known=[],
            observed=[],
            levels={},
            static=np.empty((1, 0), np.float32),
            categories=np.empty((1, 0), np.int64),
            notices=[],
        )
