"""The CSV file of metrics that every run writes, and the folders of loggers."""

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from rnn_lab.io.atomic import atomic_path
from rnn_lab.io.run_files import METRICS
from rnn_lab.training.wandb_logger import OfflineWandbLogger


def configure_loggers(
    trainer: Trainer, metrics_file: str = METRICS, job_type: str | None = None
) -> None:
    """Add a `CSVMetricsLogger` to the Trainer, and set the run folder of our loggers.

    Do nothing in a `fast_dev_run`, which writes no files.

    Args:
        trainer: The Trainer.
        metrics_file: Name of the CSV file.
        job_type: Kind of the run on W&B, such as `fit`.
    """
    if trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by the Trainer without a declaration
        return
    if not any(isinstance(logger, CSVMetricsLogger) for logger in trainer.loggers):
        trainer.loggers = [*trainer.loggers, CSVMetricsLogger(filename=metrics_file)]
    for logger in trainer.loggers:
        if isinstance(logger, CSVMetricsLogger):
            logger.set_run_dir(trainer.default_root_dir)
        elif isinstance(logger, OfflineWandbLogger):
            logger.set_run_dir(trainer.default_root_dir, job_type)


class CSVMetricsLogger(Logger):
    """Write all logged metrics to `metrics.csv`: one row per step, one column per metric.

    Metrics that are logged consecutively for the same step share a row. The file is complete after
    each call of `save`, which the Trainer makes whenever it logs. A later run in the same folder
    appends its rows.

    Args:
        save_dir: Folder of the file; None for the run folder (see `configure_loggers`).
        filename: Name of the file, such as `metrics.test.csv` for a later test.
    """

    name = ""
    version = ""

    def __init__(self, save_dir: str | None = None, filename: str = METRICS) -> None:
        super().__init__()
        self._folder = save_dir
        self._filename = filename
        self._columns: list[str] = []
        self._row: dict[str, str] = {}  # the current step; `save` rewrites it in place
        self._start: int | None = None  # offset of that row in the file

    @property
    def save_dir(self) -> str | None:
        return self._folder

    @property
    def log_dir(self) -> str | None:
        return self._folder

    @property
    def path(self) -> Path:
        """Path of the file.

        Raises:
            ValueError: If the folder is not set.
        """
        if self._folder is None:
            raise ValueError(
                "CSVMetricsLogger has no folder: set save_dir or call configure_loggers"
            )
        return Path(self._folder, self._filename)

    def set_run_dir(self, folder: str) -> None:
        """Set the folder, unless `save_dir` was set."""
        self._folder = self._folder or folder

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        step_text = "" if step is None else str(step)
        if self._row and self._row["step"] != step_text:
            self.save()
            self._row, self._start = {}, None
        self._row |= {"step": step_text} | {name: _text(name, x) for name, x in metrics.items()}

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the run's `config.yaml` holds them."""

    @rank_zero_only
    def save(self) -> None:
        if not self._row:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self._columns:
            self._columns = self._existing_columns()
        if new := [name for name in self._row if name not in self._columns]:
            self._add_columns(new)
        with open(self.path, "r+", newline="", encoding="utf-8") as file:
            self._start = file.seek(0, os.SEEK_END) if self._start is None else self._start
            file.seek(self._start)
            file.truncate()
            csv.DictWriter(file, self._columns, restval="").writerow(self._row)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.save()

    def _existing_columns(self) -> list[str]:
        if not self.path.exists():
            return []
        with open(self.path, newline="", encoding="utf-8") as file:
            return next(csv.reader(file), [])

    def _add_columns(self, new: list[str]) -> None:
        """Rewrite the file with more columns, atomically, so that no row can be lost."""
        rows = []
        if self._columns:
            with open(self.path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        rows = rows[:-1] if self._start is not None else rows  # `save` writes the current row
        self._columns = ["step", "epoch"] + [
            name for name in [*self._columns, *new] if name not in ("step", "epoch")
        ]
        with atomic_path(self.path) as part, open(part, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns, restval="")
            writer.writeheader()
            writer.writerows(rows)
        self._start = None


def _text(name: str, value: float) -> str:
    return str(int(value)) if name == "epoch" else f"{float(value):.7g}"  # precision of float32
