"""The number of an epoch, counted from 1 in everything that a run shows and writes."""

import warnings
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn, TrainerStatus

from rnn_lab.core.step_log import log_step


def epoch_number(trainer: Trainer) -> int:
    """Return the number of the epoch in training, counted from 1; else of epochs trained before."""
    state = trainer.state
    training = state.fn == TrainerFn.FITTING and state.status == TrainerStatus.RUNNING
    return trainer.current_epoch + training


class EpochNumber(Callback):
    """Log the metric `epoch`, counted from 1, to all loggers while a model is trained.

    Lightning counts from 0 unless this metric is logged. It also stands for `{epoch}` in the file
    names of a `ModelCheckpoint`. A test after training has the number of the last epoch.
    """

    def __init__(self) -> None:
        self._logged = 0  # last number that was logged in a step

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Silence Lightning's advice to reduce the number over processes, which all have the same.

        Lightning would reduce it when a metric is read, which some callbacks do in one process.
        """
        warnings.filterwarnings("ignore", r"It is recommended to use `self\.log\('epoch'")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._logged = 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Log the number in the first step of an epoch, and in all steps that are logged."""
        new = self._logged != epoch_number(trainer)
        if new or trainer._logger_connector.should_update_logs:
            self._logged = epoch_number(trainer)
            log_step(pl_module, "epoch", _number(trainer))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            pl_module.log("epoch", _number(trainer), reduce_fx="max")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.log("epoch", _number(trainer), reduce_fx="max")


def _number(trainer: Trainer) -> torch.Tensor:
    """Return the number as a tensor, in float32 because bfloat16 has not all whole numbers."""
    return torch.tensor(float(epoch_number(trainer)), dtype=torch.float32)
