"""Loggers of metrics: a CSV file that is always written, and Weights & Biases."""

import csv
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only

from rnn_lab.io.atomic import atomic_path

log = logging.getLogger(__name__)

METRICS_FILE = "metrics.csv"
INIT_TIMEOUT = 5.0  # seconds; without a network wandb gives up after about three times as long


def configure_loggers(trainer: Trainer, metrics_file: str = METRICS_FILE) -> None:
    """Add a `CSVMetricsLogger` to the Trainer, and set the run folder of our loggers.

    Do nothing in a `fast_dev_run`, which writes no files.
    """
    if trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by the Trainer without a declaration
        return
    if not any(isinstance(logger, CSVMetricsLogger) for logger in trainer.loggers):
        trainer.loggers = [*trainer.loggers, CSVMetricsLogger(filename=metrics_file)]
    for logger in trainer.loggers:
        if isinstance(logger, CSVMetricsLogger | OfflineWandbLogger):
            logger.set_run_dir(trainer.default_root_dir)


def read_metrics(path: str | os.PathLike[str]) -> dict[str, list[float | None]]:
    """Read a `metrics.csv` as columns.

    Returns:
        Values of each column by name, one per row; None if a row lacks the metric.
    """
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = list(rows[0]) if rows else []
    return {name: [float(row[name]) if row[name] else None for row in rows] for name in names}


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

    def __init__(self, save_dir: str | None = None, filename: str = METRICS_FILE) -> None:
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


class OfflineWandbLogger(WandbLogger):
    """Log to Weights & Biases, or to the run folder for a later `wandb sync` (offline mode).

    A missing account or network neither prompts nor fails: `auto` is online if an API key is
    configured and offline otherwise, and if the server cannot be reached the run is offline, with a
    warning. A resumed run continues the same W&B run if both parts are online; otherwise it is
    another W&B run of the same group.

    Args:
        project: Project on W&B.
        name: Name of the run; None for the name of its folder.
        group: Group of the run; None for the name of the parent of the run folder.
        tags: Tags of the run.
        notes: Description of the run.
        id: Id of the W&B run to resume (online only: syncing an offline run replaces it).
        mode: `auto`, `online`, `offline`, or `disabled` to log nothing.
        save_dir: Parent of the `wandb` folder; None for the run folder (see `configure_loggers`).
        log_model: Upload checkpoints: the last ones when training ends, or `all` when saved.
    """

    # No **kwargs on purpose: the command line would pass a null for every argument of wandb.init,
    # and nulls override wandb's own settings.
    def __init__(
        self,
        project: str = "rnn-lab",
        name: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
        notes: str | None = None,
        id: str | None = None,
        mode: Literal["auto", "online", "offline", "disabled"] = "auto",
        save_dir: str | None = None,
        log_model: bool | Literal["all"] = False,
    ) -> None:
        super().__init__(
            project=project,
            name=name,
            id=id,
            log_model=log_model,
            group=group,
            tags=tags,
            notes=notes,
            mode=mode,
            settings={"init_timeout": INIT_TIMEOUT},
        )
        self._wandb_init.pop("anonymous")  # deprecated: warns even if it is None
        self._wandb_init["dir"] = self._save_dir = save_dir

    def set_run_dir(self, folder: str) -> None:
        """Set the folder, and the name and group derived from it, unless they were set."""
        self._wandb_init["dir"] = self._save_dir = self._save_dir or folder
        for key, default in (("name", Path(folder).name), ("group", Path(folder).parent.name)):
            self._wandb_init[key] = self._wandb_init[key] or default
        self._name = self._wandb_init["name"]

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run, which is started on first access."""
        if self._experiment is None:
            self._start_run()
        return self._experiment

    def _start_run(self) -> None:
        import wandb

        Path(self._save_dir or ".").mkdir(parents=True, exist_ok=True)
        if wandb.run is not None and wandb.run is OfflineWandbLogger._latest:
            wandb.finish()  # of an earlier logger; a run that the user started is used
        if self._wandb_init["mode"] in ("auto", "online"):
            self._wandb_init["mode"] = _resolve_mode(self._wandb_init["mode"])
        id_file = Path(self._save_dir or ".", "wandb", "id")
        if self._wandb_init["mode"] == "online" and not self._id and id_file.exists():
            self._wandb_init["id"] = id_file.read_text().strip()
        try:
            OfflineWandbLogger._latest = super().experiment
            if self._wandb_init["mode"] == "online":
                id_file.parent.mkdir(exist_ok=True)
                id_file.write_text(OfflineWandbLogger._latest.id)
        except wandb.errors.Error as error:
            if self._wandb_init["mode"] != "online":
                raise
            reason = str(error).splitlines()[0]
            log.warning("W&B: %s; this run stays offline, `wandb sync` sends it later", reason)
            self._wandb_init |= {"mode": "offline", "id": self._id}
            OfflineWandbLogger._latest = super().experiment

    _latest: Any = None  # the last W&B run that a logger of this process started

    @rank_zero_only
    def finish_preempted(self, exit_code: int) -> None:
        """Mark the W&B run as preempted, finish it, and stop the wandb service.

        Args:
            exit_code: Exit status of the command.
        """
        import wandb

        self.experiment.mark_preempting()
        self.experiment.finish(exit_code=exit_code)
        wandb.teardown()  # SLURM may end the service first, and this process would fail at exit

    @rank_zero_only
    def log_graph(self, model: torch.nn.Module, input_array: Any = None) -> None:
        """Log the number of parameters; the Trainer calls this once with the model."""
        sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
        trainable = sum(size for size, requires_grad in sizes if requires_grad)
        counts = {"parameters": sum(size for size, _ in sizes), "trainable_parameters": trainable}
        self.experiment.config.update(counts, allow_val_change=True)

    @rank_zero_only
    def log_confusion_matrix(
        self, key: str, matrix: Sequence[Sequence[int]], labels: Sequence[str]
    ) -> None:
        """Log a confusion matrix as a W&B chart.

        Args:
            key: Name of the chart.
            matrix: Counts by true class (rows) and predicted class (columns).
            labels: Name of each class.
        """
        import wandb

        cells = [
            [actual, predicted, int(count)]
            for actual, row in zip(labels, matrix, strict=True)
            for predicted, count in zip(labels, row, strict=True)
        ]
        chart = wandb.plot_table(
            "wandb/confusion_matrix/v1",
            wandb.Table(columns=["Actual", "Predicted", "nPredictions"], data=cells),
            {name: name for name in ("Actual", "Predicted", "nPredictions")},
            {"title": "confusion matrix of the test split"},
        )
        self.experiment.log({key: chart})


def _resolve_mode(mode: str) -> str:
    """Resolve `auto` and `online`: without an API key, wandb would prompt or fail."""
    import wandb
    from wandb.sdk.lib.wbauth import authenticate_session

    settings = wandb.setup().settings
    if mode == "auto" and settings.mode != "online":  # WANDB_MODE, or `wandb offline` was run
        return settings.mode
    try:
        authenticated = authenticate_session(
            host=settings.base_url, source="OfflineWandbLogger", prompt=False
        )
        problem = None if authenticated or mode == "auto" else "no API key is configured"
    except wandb.errors.Error as error:
        authenticated, problem = None, str(error).splitlines()[0]
    if problem:
        log.warning("W&B: %s; this run stays offline, `wandb sync` sends it later", problem)
    return "online" if authenticated else "offline"
