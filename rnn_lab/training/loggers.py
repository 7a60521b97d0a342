"""Where a run's numbers go: a CSV table that is always written, and Weights & Biases."""

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
INIT_TIMEOUT = 5.0  # seconds; without a network wandb then gives up in about three times as long


def configure_loggers(trainer: Trainer, metrics_file: str = METRICS_FILE) -> None:
    """Put a `CSVMetricsLogger` beside the Trainer's loggers and give ours the run's folder.

    Does nothing in a `fast_dev_run`, which leaves no files.
    """
    if trainer.fast_dev_run:  # type: ignore[attr-defined]  # the Trainer sets it, undeclared
        return
    if not any(isinstance(logger, CSVMetricsLogger) for logger in trainer.loggers):
        trainer.loggers = [*trainer.loggers, CSVMetricsLogger(filename=metrics_file)]
    for logger in trainer.loggers:
        if isinstance(logger, CSVMetricsLogger | OfflineWandbLogger):
            logger.set_run_dir(trainer.default_root_dir)


def read_metrics(path: str | os.PathLike[str]) -> dict[str, list[float | None]]:
    """Read a `metrics.csv` as columns.

    Returns:
        Values of each column, one entry a row, None where a row lacks the metric.
    """
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = list(rows[0]) if rows else []
    return {name: [float(row[name]) if row[name] else None for row in rows] for name in names}


class CSVMetricsLogger(Logger):
    """Write every logged metric to `metrics.csv`: a row for each step, a column for each metric.

    What was logged for the same step one after the other shares a row. The file on disk is whole
    after each call of `save`, which the Trainer makes after all it logs. A later run in the same
    folder goes on below; nothing is ever removed.

    Args:
        save_dir: Folder of the file; None means the run's folder (see `configure_loggers`).
        filename: Name of the file, such as `metrics.test.csv` for a later test.
    """

    name = ""
    version = ""

    def __init__(self, save_dir: str | None = None, filename: str = METRICS_FILE) -> None:
        super().__init__()
        self._folder = save_dir
        self._filename = filename
        self._columns: list[str] = []
        self._row: dict[str, str] = {}  # the step being collected; rewritten in place by `save`
        self._start: int | None = None  # where that row begins in the file

    @property
    def save_dir(self) -> str | None:
        return self._folder

    @property
    def log_dir(self) -> str | None:
        return self._folder

    @property
    def path(self) -> Path:
        """The file written.

        Raises:
            ValueError: If no folder was given yet.
        """
        if self._folder is None:
            raise ValueError(
                "CSVMetricsLogger has no folder: give save_dir or call configure_loggers"
            )
        return Path(self._folder, self._filename)

    def set_run_dir(self, folder: str) -> None:
        """Write into this folder, unless one was given."""
        self._folder = self._folder or folder

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        number = "" if step is None else str(step)
        if self._row and self._row["step"] != number:
            self.save()
            self._row, self._start = {}, None
        self._row |= {"step": number} | {name: _text(name, x) for name, x in metrics.items()}

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: they lie in the run's `config.yaml`."""

    @rank_zero_only
    def save(self) -> None:
        if not self._row:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self._columns:
            self._columns = self._existing_columns()
        if new := [name for name in self._row if name not in self._columns]:
            self._widen(new)
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

    def _widen(self, new: list[str]) -> None:
        """Rewrite the file with more columns, aside first, so that a kill loses nothing."""
        earlier = []
        if self._columns:
            with open(self.path, newline="", encoding="utf-8") as file:
                earlier = list(csv.DictReader(file))
        earlier = earlier[:-1] if self._start is not None else earlier  # `save` writes the open row
        self._columns = ["step", "epoch"] + [
            name for name in [*self._columns, *new] if name not in ("step", "epoch")
        ]
        with atomic_path(self.path) as part, open(part, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns, restval="")
            writer.writeheader()
            writer.writerows(earlier)
        self._start = None


def _text(name: str, value: float) -> str:
    return str(int(value)) if name == "epoch" else f"{float(value):.7g}"  # float32 has no more


class OfflineWandbLogger(WandbLogger):
    """Send a run to Weights & Biases, or keep it in the run's folder to be sent later.

    Nothing is asked and nothing fails for want of an account or a network: `auto` is online when
    an API key is known and offline otherwise, and what cannot be reached becomes offline with a
    warning. `wandb sync` sends such a run later. What goes on in a run's folder goes on as the same
    run of W&B where both parts are online, else as another run of the same group.

    Args:
        project: Project on W&B.
        name: Name of the run; None means the name of its folder.
        group: Runs to be seen together; None means the folder that holds the run's folder.
        tags: Labels to filter by.
        notes: A sentence about the run.
        id: Go on with this W&B run (online only: sending an offline one replaces the earlier).
        mode: `auto`, `online`, `offline`, or `disabled` to record nothing.
        save_dir: Parent of the `wandb` folder; None means the run's (see `configure_loggers`).
        log_model: Send checkpoints: the last ones when training ends, or `all` at once.
    """

    # The signature is closed on purpose: through open keyword arguments the command line hands
    # wandb.init a null for everything it knows, and those nulls beat wandb's own settings.
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
        self._wandb_init.pop("anonymous")  # deprecated, warns even when None
        self._wandb_init["dir"] = self._save_dir = save_dir

    def set_run_dir(self, folder: str) -> None:
        """Take the folder, and name and group after it, unless they were given."""
        self._wandb_init["dir"] = self._save_dir = self._save_dir or folder
        for key, default in (("name", Path(folder).name), ("group", Path(folder).parent.name)):
            self._wandb_init[key] = self._wandb_init[key] or default
        self._name = self._wandb_init["name"]

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The run of wandb, begun when first asked for."""
        if self._experiment is None:
            self._begin()
        return self._experiment

    def _begin(self) -> None:
        import wandb

        Path(self._save_dir or ".").mkdir(parents=True, exist_ok=True)
        if wandb.run is not None and wandb.run is OfflineWandbLogger._latest:
            wandb.finish()  # an earlier logger of this process; a user's own run is joined
        if self._wandb_init["mode"] in ("auto", "online"):
            self._wandb_init["mode"] = _mode(self._wandb_init["mode"])
        known = Path(self._save_dir or ".", "wandb", "id")
        if self._wandb_init["mode"] == "online" and not self._id and known.exists():
            self._wandb_init["id"] = known.read_text().strip()
        try:
            OfflineWandbLogger._latest = super().experiment
            if self._wandb_init["mode"] == "online":
                known.parent.mkdir(exist_ok=True)
                known.write_text(OfflineWandbLogger._latest.id)
        except wandb.errors.Error as error:
            if self._wandb_init["mode"] != "online":
                raise
            reason = str(error).splitlines()[0]
            log.warning("W&B: %s; this run stays offline, `wandb sync` sends it later", reason)
            self._wandb_init |= {"mode": "offline", "id": self._id}
            OfflineWandbLogger._latest = super().experiment

    _latest: Any = None  # the wandb run that a OfflineWandbLogger of this process began last

    @rank_zero_only
    def finish_preempted(self, exit_code: int) -> None:
        """Let wandb end, whole, as one that will go on; it is not waited for when Python ends.

        Args:
            exit_code: Status that the command is about to have.
        """
        import wandb

        self.experiment.mark_preempting()
        self.experiment.finish(exit_code=exit_code)
        wandb.teardown()  # SLURM may end its helper before this process, which would stumble

    @rank_zero_only
    def log_graph(self, model: torch.nn.Module, input_array: Any = None) -> None:
        """Record the number of parameters; the Trainer calls this once with the model."""
        sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
        trained = sum(size for size, grad in sizes if grad)
        counts = {"parameters": sum(size for size, _ in sizes), "trained_parameters": trained}
        self.experiment.config.update(counts, allow_val_change=True)

    @rank_zero_only
    def log_confusion_matrix(
        self, key: str, matrix: Sequence[Sequence[int]], labels: Sequence[str]
    ) -> None:
        """Log a confusion matrix as a chart that W&B draws.

        Args:
            key: Name of the chart.
            matrix: Counts, true class by predicted class.
            labels: Name of each class.
        """
        import wandb

        cells = [
            [truth, predicted, int(count)]
            for truth, row in zip(labels, matrix, strict=True)
            for predicted, count in zip(labels, row, strict=True)
        ]
        chart = wandb.plot_table(
            "wandb/confusion_matrix/v1",
            wandb.Table(columns=["Actual", "Predicted", "nPredictions"], data=cells),
            {name: name for name in ("Actual", "Predicted", "nPredictions")},
            {"title": "confusion matrix of the test split"},
        )
        self.experiment.log({key: chart})


def _mode(wish: str) -> str:
    """What `auto` or `online` comes to here: without a known key, wandb would ask or fail."""
    import wandb
    from wandb.sdk.lib.wbauth import authenticate_session

    settings = wandb.setup().settings
    if wish == "auto" and settings.mode != "online":  # WANDB_MODE, or `wandb offline` in the folder
        return settings.mode
    try:
        known = authenticate_session(
            host=settings.base_url, source="OfflineWandbLogger", prompt=False
        )
        problem = None if known or wish == "auto" else "no API key is known"
    except wandb.errors.Error as error:
        known, problem = None, str(error).splitlines()[0]
    if problem:
        log.warning("W&B: %s; this run stays offline, `wandb sync` sends it later", problem)
    return "online" if known else "offline"
