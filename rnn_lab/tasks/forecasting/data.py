"""Data modules of time series to forecast: the base class, and synthetic series."""

import logging
import os
from abc import abstractmethod
from dataclasses import asdict
from functools import cached_property
from typing import Any, ClassVar, cast

import numpy as np

from rnn_lab.core.datamodule import LabDataModule, ResumableLoader
from rnn_lab.core.samplers import BucketBatchSampler
from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting import synthetic
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.options import Covariates
from rnn_lab.tasks.forecasting.panel.panel import Panel, PanelConfig
from rnn_lab.tasks.forecasting.panel.scaling import BLOCK, Kind, Scaler
from rnn_lab.tasks.forecasting.panel.splits import SplitSpec, check_split, split_rows
from rnn_lab.tasks.forecasting.reader import SeriesReader
from rnn_lab.tasks.forecasting.windows import Bounds, FlatValues, WindowBatchSampler, Windows

log = logging.getLogger(__name__)
EVAL_BATCH_SIZE = 256  # windows per evaluation batch at least
MAX_EVAL_VALUES = 1 << 24  # values per evaluation batch at most


class ForecastDataModule(LabDataModule):
    """Time series that are cut into windows of input steps and steps to forecast.

    A subclass provides the panel. The splits are consecutive in time; scaling statistics are
    computed from training rows only.

    Args:
        input_length: Steps of the input window.
        horizon: Steps to forecast.
        batch_size: Windows per training batch and process.
        targets: Columns to forecast, the others are ignored; None takes all.
        calendar: Calendar features of the timestamps, see `ForecastingFiles`.
        split: Boundaries of training, validation and test: three fractions of the rows, three
            numbers of rows, or the times of the first validation and the first test row; None takes
            the split of the dataset, else 0.7, 0.1 and 0.2.
        scaling: `standard` for zero mean and unit variance of each series, or `none`.
        season_length: Steps per season; None derives it from the frequency.
        stride: Steps from window to window.
        root: Folder of datasets; None takes `RNN_LAB_DATA`, else the user's cache folder.
    """

    batch_type = WindowBatch
    linked = ("input_dim", "input_length", "horizon", "output_dim", "covariates", "season_length")
    machine_specific: ClassVar[tuple[str, ...]] = ("root",)
    default_split: ClassVar[SplitSpec] = [0.7, 0.1, 0.2]

    def __init__(
        self,
        input_length: int = 96,
        horizon: int = 96,
        batch_size: int = 32,
        *,
        targets: list[str] | None = None,
        calendar: list[str] | None = None,
        split: SplitSpec | None = None,
        scaling: Kind = "standard",
        season_length: int | None = None,
        stride: int = 1,
        root: str | None = None,
    ) -> None:
        super().__init__(batch_size)
        self.targets, self.calendar = targets, calendar or []
        sizes = {"input_length": input_length, "horizon": horizon, "stride": stride}
        for name, value in {**sizes, "season_length": season_length}.items():
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, got {value}")
        if scaling not in ("standard", "none"):
            raise UserError(f"scaling must be standard or none, got {scaling!r}")
        self.input_length = input_length
        self.horizon = horizon
        self.split_spec = self.default_split if split is None else split
        check_split(self.split_spec)
        self.scaling: Kind = scaling
        self.stride = stride
        self.root = root
        self._season_length = season_length
        self._windows: dict[str, Windows] = {}

    @abstractmethod
    def _prepare(self) -> Panel:
        """Open the panel; prepare it first if necessary."""

    @cached_property
    def panel(self) -> Panel:
        """The series."""
        panel = self._prepare()
        self._log(panel.notices)
        return panel

    @cached_property
    def scaler(self) -> Scaler:
        """Scaling statistics of the training rows."""
        ends = self._rows["train"][:, 1]
        scaler, notices = Scaler.fit(self.panel, ends, self.scaling, self.season_length)
        self._log(notices)
        return scaler

    def _log(self, notices: list[str]) -> None:
        for notice in notices:
            log.info("%s: %s", type(self).__name__, notice)

    @property
    def channels(self) -> int:
        """Number of target columns."""
        return len(self.panel.targets)

    @property
    def input_dim(self) -> int:
        """Number of columns of the input window: targets, future and past covariates."""
        return self.panel.values.shape[1]

    @property
    def output_dim(self) -> int:
        """Numbers to forecast: horizon times channels."""
        return self.horizon * self.channels

    @property
    def covariates(self) -> dict[str, Any]:
        """Sizes of the covariates, see `Covariates`; each category has one more level, unknown."""
        sizes = [len(names) + 1 for names in self.panel.static_categories]
        future_dim, static_dim = len(self.panel.future_covariates), self.panel.static.shape[1]
        return asdict(Covariates(future_dim, static_dim, sizes))

    @property
    def season_length(self) -> int:
        """Steps per season."""
        return self._season_length or self.panel.frequency.season_length

    @property
    def eval_batch_size(self) -> int:
        """Windows per batch in validation and test."""
        values = (self.input_length + self.horizon) * self.input_dim
        return max(self.batch_size, min(EVAL_BATCH_SIZE, MAX_EVAL_VALUES // values), 1)

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

    def has_windows(self, name: str) -> bool:
        """Return whether a split, `valid` or `test`, is long enough for a window."""
        sizes = self.input_length, self.horizon, self.stride
        return bool(Bounds.within(self._rows[name], *sizes).counts.any())

    @cached_property
    def _values(self) -> FlatValues:
        return FlatValues(self.panel, self.scaler)

    @cached_property
    def _rows(self) -> dict[str, np.ndarray]:
        return split_rows(self.panel, self.split_spec)

    def _bounds(self, name: str) -> Bounds:
        if name not in self._rows:
            splits = ", ".join(self._rows)
            raise UserError(f"{type(self).__name__} has no split {name!r}, only {splits}")
        rows, train = self._rows[name], name == "train"
        bounds = Bounds.within(rows, self.input_length, self.horizon, self.stride, inside=train)
        if not bounds.counts.any():
            self._refuse_short(name, rows)
        short = np.flatnonzero(bounds.counts == 0)
        if train and len(short):
            first = self.panel.ids[short[0]]
            self._log([f"{len(short)} series are too short to train on, first {first!r}"])
        return bounds

    def _refuse_short(self, name: str, rows: np.ndarray) -> None:
        longest = int(np.diff(rows).max())
        where = "" if len(rows) == 1 else f" in the longest of {len(rows)} series"
        past, horizon = self.input_length, self.horizon
        need = f"horizon={horizon} rows, preceded by input_length={past} rows"
        if name == "train":
            need = f"{past + horizon} rows: input_length={past} and horizon={horizon}"
        raise UserError(
            f"the {name} split of {type(self).__name__} has {longest} rows{where}, but a window "
            f"needs {need}"
        )

    def _make_loader(self, name: str, shuffle: bool) -> ResumableLoader:
        windows = self.split(name)
        if self.trainer:
            windows = windows.to(self.trainer.strategy.root_device)
        return ResumableLoader(windows, self._make_sampler(name, shuffle))

    def _make_sampler(self, name: str, shuffle: bool) -> BucketBatchSampler:
        sampler = WindowBatchSampler(
            len(self.split(name)),
            self.batch_size if shuffle else self.eval_batch_size,
            shuffle=shuffle,
            seed=int(os.environ.get("PL_GLOBAL_SEED", "0")),  # set by seed_everything
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
        )
        return cast(BucketBatchSampler, sampler)  # it has the same interface

    @property
    def reader(self) -> SeriesReader:
        """Reader of new series in the format of these."""
        panel = self.panel
        return SeriesReader(
            config=panel.config,
            categories=panel.categories,
            ids=panel.ids,
            static=panel.static,
            category_codes=panel.category_codes,
            scaler=self.scaler,
            scaling=self.scaling,
            input_length=self.input_length,
            horizon=self.horizon,
            season_length=self.season_length,
        )

    def check_counts(self) -> None:
        """Refuse targets that are no counts, or are scaled.

        Raises:
            UserError: If a target is negative or not a whole number, or values are scaled.
        """
        if self.scaling != "none":
            raise UserError(
                f"output=negative_binomial needs unscaled counts, got scaling={self.scaling}: set "
                "--data.scaling=none"
            )
        panel = self.panel
        for first in range(0, len(panel.values), BLOCK):
            values = panel.values[first : first + BLOCK, : self.channels]
            wrong = ~(np.isnan(values) | ((values >= 0) & (values == np.floor(values))))
            for row, channel in np.argwhere(wrong)[:1].tolist():
                series = int(np.searchsorted(panel.offsets, first + row, "right")) - 1
                name = panel.ids[series]
                time = panel.times(series, first + row - int(panel.offsets[series]), 1)[0]
                raise UserError(
                    f"output=negative_binomial needs counts, but {panel.targets[channel]!r}"
                    f"{f' of {name!r}' if name else ''} is {values[row, channel]:g} at {time}: "
                    "choose another output, such as student_t"
                )

    def build_spec(self) -> dict[str, Any]:
        """Return how to build this module elsewhere and how to read series, as plain values."""
        return {**super().build_spec(), "series": self.reader.state_dict()}


class SyntheticSeries(ForecastDataModule):
    """Synthetic hourly series: trend, daily and weekly season, noise and regime changes.

    Args:
        length: Number of rows.
        channels: Number of channels.
        data_seed: Random seed of the series.
        input_length: See `ForecastDataModule`, as for all that follow.
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
        self.length = length
        self.num_channels = channels
        self.data_seed = data_seed

    def _prepare(self) -> Panel:
        values = synthetic.series(self.length, self.num_channels, self.data_seed)
        targets = [f"y{number}" for number in range(1, self.num_channels + 1)]
        return Panel(
            config=PanelConfig(time_column="date", targets=targets, freq="h"),
            values=values,
            offsets=np.array([0, self.length]),
            start_times=np.array([np.datetime64(synthetic.START, "ns").astype(np.int64)]),
            ids=[""],
            targets=targets,
            future_covariates=[],
            past_covariates=[],
            categories={},
            static=np.empty((1, 0), np.float32),
            category_codes=np.empty((1, 0), np.int64),
            notices=[],
        )
