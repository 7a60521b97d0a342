"""Benchmark datasets of time series to forecast."""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from rnn_lab.errors import UserError
from rnn_lab.io.downloads import RemoteFile, locate
from rnn_lab.tasks.forecasting.files import FileDataModule
from rnn_lab.tasks.forecasting.panel.panel import Panel, PanelConfig
from rnn_lab.tasks.forecasting.panel.splits import SplitSpec

ETT = "https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/"
EXCHANGE = (
    "https://raw.githubusercontent.com/laiguokun/multivariate-time-series-data/master/"
    "exchange_rate/exchange_rate.txt.gz"
)


class BenchmarkSeries(FileDataModule):
    """Benchmark dataset of one file, whose number of rows is checked."""

    file: ClassVar[RemoteFile]
    rows: ClassVar[int]
    columns: ClassVar[list[str]]
    time_column: ClassVar[str | None] = "date"

    @property
    @abstractmethod
    def folder(self) -> str:
        """Folder of the dataset below the data root, set as a class attribute."""

    def path(self) -> Path:
        """Return the path of the file; download it if it is missing."""
        return locate(self.folder, self.file, self.root)

    def config(self) -> PanelConfig:
        """Return the roles of the columns."""
        targets = self.targets or self.columns
        return PanelConfig(self.time_column, targets=targets, calendar=self.calendar)

    def _prepare(self) -> Panel:
        panel = super()._prepare()
        if len(panel.values) != self.rows:
            raise UserError(
                f"{type(self).__name__} must have {self.rows} rows, but {self.path()} has "
                f"{len(panel.values)}: remove the file and download it again"
            )
        return panel


class ETTh1(BenchmarkSeries):
    """Load and oil temperature of an electricity transformer, hourly: 17,420 rows, seven channels.

    Split into 8,640, 2,880 and 2,880 rows as in published results; other rows are not used.

    Source: Zhou et al. (2021), https://github.com/zhouhaoyi/ETDataset; CC BY-ND 4.0 license.
    """

    folder = "ett"
    file = RemoteFile("ETTh1.csv", (f"{ETT}ETTh1.csv",), size=2_589_657)
    rows = 17_420
    columns: ClassVar = ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]
    default_split: ClassVar[SplitSpec] = [8640, 2880, 2880]


class ETTh2(ETTh1):
    """Load and oil temperature of a second transformer, like ETTh1.

    Source: Zhou et al. (2021), https://github.com/zhouhaoyi/ETDataset; CC BY-ND 4.0 license.
    """

    file = RemoteFile("ETTh2.csv", (f"{ETT}ETTh2.csv",))


class ETTm1(ETTh1):
    """Load and oil temperature of the transformer of ETTh1 every 15 minutes: 69,680 rows.

    Split into 34,560, 11,520 and 11,520 rows as in published results; other rows are not used.

    Source: Zhou et al. (2021), https://github.com/zhouhaoyi/ETDataset; CC BY-ND 4.0 license.
    """

    file = RemoteFile("ETTm1.csv", (f"{ETT}ETTm1.csv",), size=10_360_719)
    rows = 69_680
    default_split: ClassVar[SplitSpec] = [34_560, 11_520, 11_520]


class ETTm2(ETTm1):
    """Load and oil temperature of the transformer of ETTh2 every 15 minutes, like ETTm1.

    Source: Zhou et al. (2021), https://github.com/zhouhaoyi/ETDataset; CC BY-ND 4.0 license.
    """

    file = RemoteFile("ETTm2.csv", (f"{ETT}ETTm2.csv",))


class ExchangeRate(BenchmarkSeries):
    """Exchange rates of eight currencies, daily from 1990 to 2016: 7,588 rows without dates.

    Split into 70, 10 and 20 percent of the rows, as in published results on long horizons.

    Source: Lai et al. (2018), https://github.com/laiguokun/multivariate-time-series-data; no
    license stated.
    """

    folder = "exchange_rate"
    file = RemoteFile("exchange_rate.txt", (EXCHANGE,), size=546_336)
    rows = 7588
    columns: ClassVar = [
        *("australia", "britain", "canada", "switzerland"),
        *("china", "japan", "new_zealand", "singapore"),
    ]
    header = columns
    time_column = None
