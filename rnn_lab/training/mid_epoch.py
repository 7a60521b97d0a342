"""State that Lightning loses when a run resumes in the middle of an epoch."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from rnn_lab.training.reports import gather_from_all_ranks

GRADIENTS, METRICS = "accumulated_gradients", "plateau_metrics"  # keys of a checkpoint


class ResumeMidEpoch(Callback):
    """Let a run resume in an epoch that was interrupted, or that ended early.

    An epoch ends early, for instance, at `max_steps` or with a time budget. Lightning stores it as
    finished, and resumes neither its rest nor a complete epoch. With `max_steps`, Lightning also
    repeats the end of a finished epoch when it resumes; here such a run resumes like any other.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let Lightning resume a run with `max_steps` like one without."""
        loop = trainer.fit_loop
        loop._iteration_based_training = lambda: False  # type: ignore[method-assign]  # on purpose

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the progress of such an epoch as it is stored in the middle of an epoch."""
        loop = checkpoint["loops"]["fit_loop"]
        epochs, batches = loop["epoch_progress"], loop["epoch_loop.batch_progress"]
        if batches["is_last_batch"]:
            return
        if epochs["current"]["processed"] == epochs["current"]["started"] > 0:
            for counter in ("total", "current"):
                epochs[counter]["processed"] -= 1
                epochs[counter]["completed"] = epochs[counter]["processed"]
                batches[counter]["completed"] = batches[counter]["processed"] - 1


class AccumulatedGradients(Callback):
    """Save the gradients of batches whose optimizer step is still to come.

    Such checkpoints are saved by a validation between two optimizer steps, for instance with
    `accumulate_grad_batches=3` and `val_check_interval=2`.
    """

    def __init__(self) -> None:
        self._gradients: dict[str, Tensor] = {}  # from a checkpoint, until they are restored

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the gradients of each process by the names of the parameters."""
        if trainer.state.fn != TrainerFn.FITTING or not trainer.fit_loop._should_accumulate():
            return
        parameters = pl_module.named_parameters()
        own = {name: p.grad.cpu() for name, p in parameters if p.grad is not None}
        checkpoint[GRADIENTS] = gather_from_all_ranks(trainer, [own])

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the gradients of this process; the mean if the number of processes changed."""
        if trainer.state.fn != TrainerFn.FITTING or GRADIENTS not in checkpoint:
            return
        saved = checkpoint[GRADIENTS]
        if len(saved) == trainer.world_size:
            self._gradients = saved[trainer.global_rank]
        else:
            self._gradients = {
                name: torch.stack([gradients[name] for gradients in saved]).mean(0)
                for name in saved[0]
            }

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the gradients, after Lightning has set them to zero."""
        for name, parameter in pl_module.named_parameters():
            if name in self._gradients:
                parameter.grad = self._gradients[name].to(parameter.device)
        self._gradients = {}


class ResumeSWA(Callback):
    """Resume Lightning's `StochasticWeightAveraging` in the middle of an epoch.

    It starts its schedule of learning rates at the start of an epoch, which a resumed epoch skips.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the schedule of an epoch that is resumed; the averages were restored."""
        if not (trainer.fit_loop.restarted_mid_epoch or trainer.fit_loop.restarted_on_epoch_end):
            return
        callbacks: list[Callback] = vars(trainer)["callbacks"]
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        rates = [group["lr"] for group in groups]
        for callback in callbacks:
            if isinstance(callback, StochasticWeightAveraging):
                callback.on_train_epoch_start(trainer, pl_module)
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate


class ResumePlateau(Callback):
    """Save the metrics that learning-rate schedules such as `ReduceLROnPlateau` monitor.

    A run that is resumed between the last validation of an epoch and the end of the epoch does not
    compute them again.
    """

    def __init__(self) -> None:
        self._metrics: dict[str, Tensor] = {}

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the metrics of validations in this epoch."""
        monitors = [c.monitor for c in trainer.lr_scheduler_configs if c.reduce_on_plateau]
        metrics = trainer.callback_metrics
        checkpoint[METRICS] = {name: metrics[name] for name in monitors if name in metrics}

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the metrics; a checkpoint that was saved without this callback has none."""
        if METRICS in checkpoint:
            self._metrics = checkpoint[METRICS]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the metrics, after Lightning has discarded them."""
        trainer._logger_connector._callback_metrics.update(self._metrics)
        self._metrics = {}


def step_plateau_schedules(trainer: Trainer) -> None:
    """Step the schedules that monitor a metric at the end of an epoch.

    Lightning steps them after the checkpoint of the epoch was saved, and in a resumed epoch never.
    Call this before the checkpoint is saved; Lightning then leaves them out.
    """
    loop = trainer.fit_loop
    if loop.epoch_loop._num_ready_batches_reached():
        loop.epoch_loop.update_lr_schedulers("epoch", update_plateau_schedulers=True)
        loop._restarting = True  # until the end of this epoch
