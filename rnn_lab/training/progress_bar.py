"""Progress of training: a bar and a table on a terminal, one line per epoch elsewhere."""

import logging
import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import RichProgressBarTheme
from lightning.pytorch.utilities import rank_zero_only
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from rnn_lab.core.task import Monitored
from rnn_lab.io.text_tables import EpochTable, four_digits
from rnn_lab.training.epoch_number import epoch_number

log = logging.getLogger(__name__)

BAR_WIDTH = 54  # characters of the bar without metrics, for four-digit numbers


class BatchProgressBar(RichProgressBar):
    """Show the progress of training.

    On a terminal, a bar shows the batches of the current epoch, and a table has a row of metrics
    for each finished epoch, with as many metrics as fit the width. Elsewhere, as in a log file, one
    line per epoch is logged, with all metrics. Epochs are counted from 1.
    """

    def __init__(self) -> None:
        theme = RichProgressBarTheme(metrics_format="#.4g")
        super().__init__(refresh_rate=10, theme=theme, console_kwargs={"stderr": True})
        self._next_redraw = self._epoch_start = 0.0
        self._table = EpochTable()
        self._validated = False  # in this epoch
        if not sys.stderr.isatty():
            self.disable()

    def enable(self) -> None:
        """Show the bar on a terminal, also if Lightning's finders enable it anywhere."""
        if sys.stderr.isatty():
            super().enable()

    def configure_columns(self, trainer: Trainer) -> list[ProgressColumn]:
        """Return the columns, which leave room for the loss on a line of 80 characters."""
        bar = [TextColumn("{task.description}"), BarColumn(16)]
        return [*bar, MofNCompleteColumn(), TimeRemainingColumn()]

    def _init_progress(self, trainer: Trainer) -> None:
        super()._init_progress(trainer)
        if self.progress is not None and self._metric_component is not None:
            self.progress.live.transient = True  # the table remains
            self._metric_component._table_column = Column(
                no_wrap=True, max_width=max(1, self.progress.console.width - BAR_WIDTH)
            )

    def _get_train_description(self, current_epoch: int) -> str:
        return f"epoch {current_epoch + 1}{_of_total(self.trainer)}"

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        """Redraw at most ten times per second, because a redraw reads metrics from the device."""
        now = time.monotonic()
        if self.is_enabled and (now >= self._next_redraw or trainer.is_last_batch):
            self._next_redraw = now + 0.1
            super().on_train_batch_end(trainer, *args)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # on_train_epoch_start is not called in a resumed epoch
        self._epoch_start, self._validated = time.monotonic(), False
        super().on_train_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch_start, self._validated = time.monotonic(), False
        super().on_train_epoch_start(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validated = not trainer.sanity_checking
        super().on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        self._report_epoch(trainer, pl_module)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return the metrics beside the bar: those of the step, as the table has the others."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)  # the id of the W&B run, if any
        return {name: value for name, value in metrics.items() if not name.startswith("val/")}

    @rank_zero_only
    def _report_epoch(self, trainer: Trainer, module: LightningModule) -> None:
        metrics = self._epoch_metrics(trainer)
        epoch = f"{epoch_number(trainer)}{_of_total(trainer)}"
        duration = f"{time.monotonic() - self._epoch_start:.0f} s"
        if not self.is_enabled:
            values = [f"{name} {text}" for name, text in metrics.items() if text]
            log.info("  ".join([f"epoch {epoch}", *values, duration]))
        elif self._console is not None:
            first = {"train/loss", "val/loss", *_monitor_of(module)}
            names = sorted(metrics, key=lambda name: name not in first)
            row = {"epoch": epoch, **{name: metrics[name] for name in names}, "time": duration}
            for line in self._table.lines(row, self._console.width):
                self._console.print(Text(line), soft_wrap=True)

    def _epoch_metrics(self, trainer: Trainer) -> dict[str, str]:
        """Return the metrics of the epoch as text, empty for those of an earlier validation."""
        values = trainer.callback_metrics
        shown = [name for name in ("train/loss",) if name in values]
        shown += [name for name in values if name.startswith("val/")]
        of_module = trainer.progress_bar_metrics  # chosen by a plain LightningModule
        shown += [n for n in of_module if n in values and n not in (*shown, "train/step_loss")]
        stale = {name for name in shown if name.startswith("val/") and not self._validated}
        return {name: "" if name in stale else four_digits(float(values[name])) for name in shown}


def _of_total(trainer: Trainer) -> str:
    return f"/{trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""


def _monitor_of(module: LightningModule) -> tuple[str, ...]:
    return (module.monitor,) if isinstance(module, Monitored) else ()
