"""Checkpoint and exit on preemption signals."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.distributed import ReduceOp

from rnn_lab import signals
from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.signals import Preempted
from rnn_lab.training.callbacks import checkpoint_callback_of
from rnn_lab.training.reports import wandb_loggers

NOT_STARTED = {"ready": 0, "started": 0, "processed": 0, "completed": 0}
STARTED = {
    **NOT_STARTED,
    "ready": 1,
    "started": 1,
}  # Lightning restarts such a validation on resume
VALIDATION_START = {"total": STARTED, "current": NOT_STARTED, "is_last_batch": False}


class Preemption(Callback):
    """Finish the step, save `last.ckpt` and exit on SIGTERM or SIGUSR1.

    The signal handler only records the signal. Lightning's own handler would save and synchronize
    the processes at any point of the program, where other processes may be in a different
    collective operation. Here all processes agree after each step, whichever of them received the
    signal. A checkpoint that is saved during validation has the state at the start of validation.
    A resumed run reaches the same weights as an uninterrupted one with the same number of
    processes. The command `rnn-lab` then requeues a SLURM job as its last step.
    """

    def __init__(self) -> None:
        self._common_batches = 0  # batches of this evaluation that all processes have
        self._training = False  # whether there is a run to resume

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Replace the signal handlers that Lightning is about to register."""
        self._training |= stage == "fit"
        own, connector = signals.install_handlers, trainer._signal_connector
        connector.register_signal_handlers = own  # type: ignore[method-assign]  # on purpose

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Save and exit on a signal after an optimizer step.

        If validation or the end of the epoch is next, the run exits there instead.
        """
        if trainer.world_size == 1 and not signals.received():
            return
        loop, fetcher = trainer.fit_loop.epoch_loop, trainer.fit_loop._data_fetcher
        assert fetcher is not None
        pending = loop.batch_progress.is_last_batch or loop._should_check_val_fx(fetcher)
        pending |= loop._should_accumulate()  # the gradients would be lost
        if not pending and _resumes_mid_epoch(trainer) and (signum := self._any_received(trainer)):
            self._exit(trainer, signum, save=True)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Exit on a signal since the last batch; the previous epoch was saved at its end."""
        if trainer.current_epoch and (signum := self._any_received(trainer)):
            self._exit(trainer, signum)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Determine for how many batches all processes can synchronize."""
        fitting = trainer.state.fn == TrainerFn.FITTING
        loop = trainer.fit_loop.epoch_loop.val_loop if fitting else trainer.validate_loop
        self._common_batches = (
            0 if trainer.sanity_checking else self._min_batches(trainer, loop.max_batches)
        )

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Exit on a signal; in training, save the state at the start of validation before."""
        if batch_idx < self._common_batches and (signum := self._any_received(trainer)):
            if trainer.state.fn != TrainerFn.FITTING:
                self._exit(trainer, signum)
            if not _resumes_mid_epoch(trainer):
                return
            callbacks: list[Callback] = vars(trainer)["callbacks"]
            for callback in callbacks:
                if isinstance(callback, WeightAveraging):  # swap the averaged weights back
                    callback.on_validation_epoch_end(trainer, pl_module)
            trainer.fit_loop.epoch_loop.val_loop.batch_progress.load_state_dict(VALIDATION_START)
            self._exit(trainer, signum, save=True)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Determine for how many batches all processes can synchronize."""
        self._common_batches = self._min_batches(trainer, trainer.test_loop.max_batches)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Exit on a signal; a test starts again when resumed."""
        if batch_idx < self._common_batches and (signum := self._any_received(trainer)):
            self._exit(trainer, signum)

    def _exit(self, trainer: Trainer, signum: int, *, save: bool = False) -> NoReturn:
        """Save a checkpoint if requested, finish the loggers, and exit in all processes."""
        path = self._last_path(trainer) if self._training else ""
        if path and save:
            trainer.save_checkpoint(path)
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.save()
            for wandb_logger in wandb_loggers(trainer):
                wandb_logger.finish_preempted(128 + signum)
        trainer.strategy.barrier()  # a process that exits early may terminate the others
        raise Preempted(signum, path)

    def _any_received(self, trainer: Trainer) -> int:
        """Return the signal that any process received; 0 if none did."""
        return self._reduce(trainer, signals.received(), ReduceOp.MAX)

    def _min_batches(self, trainer: Trainer, batches: Sequence[int | float]) -> int:
        """Return the minimum number of batches over all processes; 0 if one is unknown."""
        total = sum(batches)
        return self._reduce(trainer, 0 if total == float("inf") else int(total), ReduceOp.MIN)

    def _reduce(self, trainer: Trainer, value: int, op: Any) -> int:
        if trainer.world_size == 1:
            return value
        tensor: Tensor = torch.tensor(value, device=trainer.strategy.root_device)
        torch.distributed.all_reduce(tensor, op=op)
        return int(tensor)

    def _last_path(self, trainer: Trainer) -> str:
        folder = getattr(checkpoint_callback_of(trainer), "dirpath", None)
        return str(Path(folder, "last.ckpt")) if folder else ""


def _resumes_mid_epoch(trainer: Trainer) -> bool:
    """Return whether the data stores its position in an epoch; otherwise exit at an epoch's end."""
    return isinstance(getattr(trainer, "datamodule", None), LabDataModule)
