"""Warnings about data that is too small for the defaults of training."""

import logging

from lightning.pytorch import Callback, LightningModule, Trainer

from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.io.summaries import format_count
from rnn_lab.training.reports import get_datamodule, should_write

log = logging.getLogger(__name__)

MIN_STEPS_PER_EPOCH = 10
MIN_VALIDATION_ROWS = 30


class SmallDataWarning(Callback):
    """Warn if an epoch has few optimizer steps, or if the validation split has few rows."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if should_write(trainer):
            self._check_steps(trainer)
            self._check_validation(trainer)

    def _check_steps(self, trainer: Trainer) -> None:
        steps = -(-trainer.num_training_batches // trainer.accumulate_grad_batches)
        if steps >= MIN_STEPS_PER_EPOCH:
            return
        log.warning(
            "an epoch has only %s: consider more epochs (--trainer.max_epochs) or a smaller "
            "--data.batch_size",
            format_count(int(steps), "optimizer step"),
        )

    def _check_validation(self, trainer: Trainer) -> None:
        data = get_datamodule(trainer)
        if not trainer.enable_validation or not isinstance(data, LabDataModule):
            return
        rows = len(data.split("valid"))
        if rows < MIN_VALIDATION_ROWS:
            log.warning(
                "the validation split has only %s: its metrics are coarse, and so is the choice of "
                "the best checkpoint",
                format_count(rows, "row"),
            )
