"""Runs that are told to go: they save where they are and leave, to be continued."""

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
from rnn_lab.training.reports import wandb_loggers

NOT_STARTED = {"ready": 0, "started": 0, "processed": 0, "completed": 0}
STARTED = {
    **NOT_STARTED,
    "ready": 1,
    "started": 1,
}  # Lightning runs such a validation when it goes on
VALIDATION_START = {"total": STARTED, "current": NOT_STARTED, "is_last_batch": False}


class Preemption(Callback):
    """On SIGTERM or SIGUSR1 end the step, save `last.ckpt` and leave.

    A handler takes note of the signal and does no more: Lightning's own saves and waits for the
    other processes from wherever the program is, where some of them may wait for others. All
    processes agree after each batch, whichever of them was told. A checkpoint from the midst of
    validation is one of its beginning. Continued, a run gives the weights it would have had
    undisturbed, in as many processes. The command `rnn-lab` requeues a SLURM job then, as its last
    act.
    """

    def __init__(self) -> None:
        self._together = 0  # batches of this evaluation that all processes have
        self._training = False  # whether there is something to go on with

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Listen, and let Lightning listen no more: it is about to register its handlers."""
        self._training |= stage == "fit"
        connector = trainer._signal_connector
        connector.register_signal_handlers = signals.install_handlers  # type: ignore[method-assign]

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Save and leave if asked to, unless validation or the end of the epoch comes first."""
        loop, fetcher = trainer.fit_loop.epoch_loop, trainer.fit_loop._data_fetcher
        assert fetcher is not None
        due = loop.batch_progress.is_last_batch or loop._should_check_val_fx(fetcher)
        if not due and _resumes_mid_epoch(trainer) and (signum := self._agreed(trainer)):
            self._leave(trainer, signum, saving=True)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave if asked to since the last batch; the epoch before was saved at its end."""
        if trainer.current_epoch and (signum := self._agreed(trainer)):
            self._leave(trainer, signum)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find out after how many batches the processes can ask each other."""
        fitting = trainer.state.fn == TrainerFn.FITTING
        loop = trainer.fit_loop.epoch_loop.val_loop if fitting else trainer.validate_loop
        checking = trainer.sanity_checking
        self._together = 0 if checking else self._least(trainer, loop.max_batches)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Save where validation began, in training, and leave if asked to."""
        if batch_idx < self._together and (signum := self._agreed(trainer)):
            if trainer.state.fn != TrainerFn.FITTING:
                self._leave(trainer, signum)
            if not _resumes_mid_epoch(trainer):
                return
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, WeightAveraging):  # it has put the mean in place of weights
                    callback.on_validation_epoch_end(trainer, pl_module)
            trainer.fit_loop.epoch_loop.val_loop.batch_progress.load_state_dict(VALIDATION_START)
            self._leave(trainer, signum, saving=True)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find out after how many batches the processes can ask each other."""
        self._together = self._least(trainer, trainer.test_loop.max_batches)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Leave a test if asked to: it is done again."""
        if batch_idx < self._together and (signum := self._agreed(trainer)):
            self._leave(trainer, signum)

    def _leave(self, trainer: Trainer, signum: int, *, saving: bool = False) -> NoReturn:
        """Save and leave, all processes together."""
        path = self._last(trainer) if self._training else ""
        if path and saving:
            trainer.save_checkpoint(path)
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.save()
            for run in wandb_loggers(trainer):
                run.finish_preempted(128 + signum)
        trainer.strategy.barrier()  # one that is gone may be the end of all
        raise Preempted(signum, path)

    def _agreed(self, trainer: Trainer) -> int:
        """The signal that any of the processes received; 0 if none did."""
        return self._reduced(trainer, signals.received(), ReduceOp.MAX)

    def _least(self, trainer: Trainer, batches: Sequence[int | float]) -> int:
        """How many batches each process has at least; 0 where one does not know."""
        mine = sum(batches)
        return self._reduced(trainer, 0 if mine == float("inf") else int(mine), ReduceOp.MIN)

    def _reduced(self, trainer: Trainer, value: int, how: Any) -> int:
        if trainer.world_size == 1:
            return value
        found: Tensor = torch.tensor(value, device=trainer.strategy.root_device)
        torch.distributed.all_reduce(found, op=how)
        return int(found)

    def _last(self, trainer: Trainer) -> str:
        keeper = trainer.checkpoint_callback
        folder = getattr(keeper, "dirpath", None)
        return str(Path(folder, "last.ckpt")) if folder else ""


def _resumes_mid_epoch(trainer: Trainer) -> bool:
    """Whether the data keeps its position within an epoch; else a run is left at the end of one."""
    return isinstance(getattr(trainer, "datamodule", None), LabDataModule)
