"""Runs that are told to go: they save where they are and leave, to be continued."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from rnn_lab import signals
from rnn_lab.signals import Preempted


class Preemption(Callback):
    """On SIGTERM or SIGUSR1 end the step, save `last.ckpt` and leave.

    A handler takes note of the signal and does no more: Lightning's own saves and waits for the
    other processes from wherever the program is, where some of them may wait for others. All
    processes agree after each training batch, whichever of them was told. In the middle of an epoch
    a checkpoint is written; after its last batch, and in validation, the epoch is brought to its
    end first, and what it wrote is what counts. Continued, a run gives the weights it would have
    had undisturbed, in as many processes.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen, in place of what Lightning registered a moment ago."""
        signals.listen()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Save and leave if asked to, before the last batch of an epoch."""
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return
        if signum := self._agreed(trainer):
            path = self._last(trainer)
            if path:
                trainer.save_checkpoint(path)
            raise Preempted(signum, path)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave if asked to since the last batch; the epoch before was saved at its end."""
        if trainer.current_epoch and (signum := self._agreed(trainer)):
            raise Preempted(signum, self._last(trainer))

    def _agreed(self, trainer: Trainer) -> int:
        """The signal that any of the processes heard; 0 if none did."""
        if trainer.world_size == 1:
            return signals.heard()
        found = torch.tensor(signals.heard(), device=trainer.strategy.root_device)
        torch.distributed.all_reduce(found, op=torch.distributed.ReduceOp.MAX)
        return int(found)

    def _last(self, trainer: Trainer) -> str:
        keeper = trainer.checkpoint_callback
        folder = getattr(keeper, "dirpath", None)
        return str(Path(folder, "last.ckpt")) if folder else ""
