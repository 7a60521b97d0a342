"""What a run leaves to look at: learning curves, the confusion matrix, its worst mistakes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from rnn_lab.training.loggers import CSVMetricsLogger, OfflineWandbLogger, read_metrics
from rnn_lab.training.runs import artifact_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class LearningCurves(Callback):
    """Draw the run's `metrics.csv` as `curves.png` when training ends."""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not should_write(trainer):
            return
        for table in trainer.loggers:
            if isinstance(table, CSVMetricsLogger) and table.path.exists():
                from rnn_lab.training.plots import plot_learning_curves

                save_figure(plot_learning_curves(read_metrics(table.path)), trainer, "curves.png")


def gather_from_all_ranks(trainer: Trainer, mine: list[Any]) -> list[Any]:
    """Join the lists of all processes; every one of them must call this."""
    if trainer.world_size == 1:
        return mine
    lists: list[list[Any]] = [[] for _ in range(trainer.world_size)]
    torch.distributed.all_gather_object(lists, mine)
    return [entry for entries in lists for entry in entries]


def get_datamodule(trainer: Trainer) -> Any:
    """The data module, or None where loaders were given instead."""
    return getattr(trainer, "datamodule", None)


def wandb_loggers(trainer: Trainer) -> list[OfflineWandbLogger]:
    """The runs on W&B that are told of this one."""
    return [logger for logger in trainer.loggers if isinstance(logger, OfflineWandbLogger)]


def should_write(trainer: Trainer) -> bool:
    """Whether this process writes the run's files."""
    return trainer.is_global_zero and not trainer.fast_dev_run  # type: ignore[attr-defined]


def report_path(trainer: Trainer, name: str) -> Path:
    """Where a file of the run goes; its folder is made."""
    return artifact_path(Path(trainer.default_root_dir), name)


def save_figure(figure: "Figure", trainer: Trainer, name: str) -> None:
    """Save a figure in the run's folder and show it on W&B."""
    figure.savefig(report_path(trainer, name))
    for run in wandb_loggers(trainer):
        key = Path("figures", name).with_suffix("").as_posix()
        run.log_image(key, [str(report_path(trainer, name))])
