"""Weight averaging: NT-ASGD, and the checkpoint of Lightning's stochastic weight averaging."""

import logging
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging

from rnn_lab.errors import UserError
from rnn_lab.training.callbacks import BestCheckpoint, checkpoint_callback_of
from rnn_lab.training.monitor import Mode, mode_of

log = logging.getLogger(__name__)


class NTASGD(WeightAveraging):
    """Average the weights of all steps after a validation metric stopped improving.

    With plain SGD this is NT-ASGD. Before averaging starts the callback has no effect. Afterwards
    the averaged weights are validated, saved and final, while training continues with the
    unaveraged weights.

    Source: Merity et al. (2018), https://arxiv.org/abs/1708.02182, algorithm 1.

    Args:
        interval: Non-monotone interval in validations: averaging starts when the metric is worse
            than its best value, the last `interval` validations excluded.
        monitor: Metric to monitor; None for that of the task.
        mode: Whether lower (`min`) or higher (`max`) values are better; None to determine it, see
            `rnn_lab.training.monitor.mode_of`.

    Raises:
        UserError: If `interval` is less than one.
    """

    def __init__(
        self,
        interval: int = 5,
        monitor: str | None = None,
        mode: Mode | None = None,
    ) -> None:
        if interval < 1:
            raise UserError(f"NTASGD: interval must be at least 1, got {interval}")
        super().__init__()
        self.interval, self.monitor, self.mode = interval, monitor, mode
        self.averaging = False
        self._history: list[float] = []  # all values of the metric, negated if mode is max

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Return whether to include the weights: after each step, once averaging has started."""
        return self.averaging and step_idx is not None

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.averaging:
            super().on_validation_epoch_start(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.averaging:
            super().on_validation_epoch_end(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start averaging if the metric is worse than it was `interval` validations ago."""
        if self.averaging or trainer.sanity_checking or self._average_model is None:
            return
        name = self.monitor or str(pl_module.monitor)
        mode = mode_of(pl_module, name, self.mode, "mode of NTASGD")
        value = float(trainer.callback_metrics[name]) * (1 if mode == "min" else -1)
        earlier = self._history[: -self.interval]
        self._history.append(value)
        if earlier and value > min(earlier):
            self.averaging = True
            self._average_model.module.load_state_dict(pl_module.state_dict())
            self._average_model.n_averaged.zero_()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.averaging:
            super().on_train_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "averaging": self.averaging, "history": self._history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.averaging, self._history = state_dict["averaging"], list(state_dict["history"])

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self.averaging:
            super().on_save_checkpoint(trainer, pl_module, checkpoint)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if "averaging_state" in checkpoint:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)


class SWACheckpoint(Callback):
    """Save the weights that Lightning's `StochasticWeightAveraging` has averaged as `best.ckpt`.

    That callback replaces the weights of the model when training ends, after the last checkpoint
    was saved. `last.ckpt` keeps the weights that training continues from. In a model with batch
    normalization an epoch without steps follows, which sets the statistics of the averaged weights.

    This callback must follow `StochasticWeightAveraging` in the callbacks of the Trainer.
    """

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace the best checkpoint if averaging is complete."""
        checkpoints = checkpoint_callback_of(trainer)
        callbacks: list[Callback] = vars(trainer)["callbacks"]
        for callback in callbacks:
            if not isinstance(callback, StochasticWeightAveraging):
                continue
            average = _complete_average(trainer, callback)
            if average is None or not isinstance(checkpoints, BestCheckpoint):
                continue
            # Lightning takes an optimizer step at the end of the epoch for batch normalization.
            callback.transfer_weights(average, pl_module)
            path = Path(checkpoints.dirpath or "", "best.ckpt")
            checkpoints.best_model_path = str(path)
            checkpoints._save_checkpoint(trainer, str(path))
            if trainer.is_global_zero:
                log.info("%s has the weights averaged by StochasticWeightAveraging", path)


def _complete_average(
    trainer: Trainer, callback: StochasticWeightAveraging
) -> LightningModule | None:
    """Return the averaged model; None if training ended before its last epoch, or the start."""
    if not callback.n_averaged:
        return None
    extra = 1 if callback._model_contains_batch_norm else 0
    last = trainer.current_epoch - 1  # which was increased before training ended
    unlimited = callback._max_epochs == -1
    return callback._average_model if unlimited or last == callback.swa_end + extra else None
