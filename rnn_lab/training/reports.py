"""Learning curves, and helpers of the callbacks that write reports into the run folder."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from rnn_lab.io.run_files import read_metrics
from rnn_lab.training.loggers import CSVMetricsLogger
from rnn_lab.training.runs import artifact_path
from rnn_lab.training.wandb_logger import OfflineWandbLogger

if TYPE_CHECKING:
    from matplotlib.figure import Figure


log = logging.getLogger(__name__)


class LearningCurves(Callback):
    """Plot the run's `metrics.csv` as `curves.png` when training ends."""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not should_write(trainer):
            return
        for logger in trainer.loggers:
            if isinstance(logger, CSVMetricsLogger) and logger.path.exists():
                from rnn_lab.training.plots import plot_learning_curves

                save_figure(plot_learning_curves(read_metrics(logger.path)), trainer, "curves.png")


def gather_from_all_ranks(trainer: Trainer, items: list[Any]) -> list[Any]:
    """Concatenate the lists of all processes; all of them must call this."""
    if trainer.world_size == 1:
        return items
    lists: list[list[Any]] = [[] for _ in range(trainer.world_size)]
    torch.distributed.all_gather_object(lists, items)
    return [item for rank_items in lists for item in rank_items]


def get_datamodule(trainer: Trainer) -> Any:
    """Return the data module; None if the Trainer has data loaders instead."""
    return getattr(trainer, "datamodule", None)


def tables_are_logged(trainer: Trainer) -> bool:
    """Return whether a logger of the Trainer shows tables, which are those of W&B."""
    return any(isinstance(logger, WandbLogger) for logger in trainer.loggers)


def log_table(
    trainer: Trainer,
    key: str,
    columns: Sequence[str],
    rows: list[list[Any]],
    total: int | None = None,
) -> None:
    """Log a table to W&B; loggers that show no tables are left out.

    Args:
        trainer: The Trainer.
        key: Name of the table, such as `test/predictions`.
        columns: Names of the columns.
        rows: Cells of each row.
        total: Number of rows of which `rows` is a sample, which is logged; None if there is none.
    """
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_table(key, columns=list(columns), data=rows)
            if total is not None:
                log.info("W&B table %s: %s of %s rows", key, f"{len(rows):,}", f"{total:,}")


def evenly_spaced(size: int, count: int) -> np.ndarray:
    """Return up to `count` indices below `size`, evenly spaced from first to last."""
    return np.unique(np.linspace(0, size - 1, count).astype(np.int64))


def wandb_loggers(trainer: Trainer) -> list[OfflineWandbLogger]:
    """Return the W&B loggers of the Trainer."""
    return [logger for logger in trainer.loggers if isinstance(logger, OfflineWandbLogger)]


def is_dry_run(trainer: Trainer) -> bool:
    """Return whether the Trainer runs a few batches only (`fast_dev_run`), which writes nothing."""
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]  # set without a declaration


def should_write(trainer: Trainer) -> bool:
    """Return whether this process writes the files of the run."""
    return trainer.is_global_zero and not is_dry_run(trainer)


def report_path(trainer: Trainer, name: str) -> Path:
    """Return the path of a file in the run folder; create its parent folder."""
    return artifact_path(Path(trainer.default_root_dir), name)


def save_figure(figure: "Figure", trainer: Trainer, name: str) -> None:
    """Save a figure in the run folder, and log it to W&B and TensorBoard."""
    figure.savefig(report_path(trainer, name))
    key = Path("figures", name).with_suffix("").as_posix()
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(key, [str(report_path(trainer, name))])
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_figure(key, figure, trainer.global_step, close=False)
