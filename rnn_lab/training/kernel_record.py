"""Record in checkpoints which kernels computed the recurrent layers."""

import logging
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from rnn_lab.nn.native.library import kernel_version

log = logging.getLogger(__name__)
KEY = "kernels"


class KernelRecord(Callback):
    """Record the kernels in checkpoints, and say when training resumes under others.

    Compiled kernels and plain PyTorch add in different orders: their results differ by rounding, so
    that a run that resumes under others continues correctly, but not bit for bit.
    """

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the version of the kernels."""
        checkpoint[KEY] = kernel_version()

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Log one line if training resumes under other kernels."""
        before, now = checkpoint.get(KEY, "plain"), kernel_version()
        if trainer.state.fn == TrainerFn.FITTING and trainer.is_global_zero and before != now:
            log.warning(
                "the checkpoint was trained with %s kernels, this run uses %s ones: results can "
                "differ in the last bits from a run without interruption",
                before,
                now,
            )
