"""Weights averaged over the end of training, which begins when validation says so."""

from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging

from rnn_lab.errors import UserError


class NTASGD(WeightAveraging):
    """Average the weights of all steps since a validation metric stopped getting better.

    With plain SGD that is NT-ASGD. Until it begins everything is as without it; from then on what
    is validated, saved and kept are the averaged weights, and training goes on with its own.

    Source: Merity et al. (2018), https://arxiv.org/abs/1708.02182, algorithm 1.

    Args:
        interval: Averaging begins with the first validation that is worse than the best of all
            but the last `interval` before it.
        monitor: Metric that decides; None means the task's own.
        mode: Whether a small or a large value is good; None means the task's own.

    Raises:
        UserError: If `interval` is less than one.
    """

    def __init__(
        self,
        interval: int = 5,
        monitor: str | None = None,
        mode: Literal["min", "max"] | None = None,
    ) -> None:
        if interval < 1:
            raise UserError(f"NTASGD: interval must be at least 1, got {interval}")
        super().__init__()
        self.interval, self.monitor, self.mode = interval, monitor, mode
        self.began = False
        self._seen: list[float] = []  # all values so far, small ones good

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Say whether to take the weights in: after each step, once averaging has begun."""
        return self.began and step_idx is not None

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.began:
            super().on_validation_epoch_start(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.began:
            super().on_validation_epoch_end(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to average where the metric is worse than it was some time ago."""
        if self.began or trainer.sanity_checking or self._average_model is None:
            return
        name = self.monitor or str(pl_module.monitor)
        mode = self.mode or str(pl_module.mode)
        value = float(trainer.callback_metrics[name]) * (1 if mode == "min" else -1)
        earlier = self._seen[: -self.interval]
        self._seen.append(value)
        if earlier and value > min(earlier):
            self.began = True
            self._average_model.module.load_state_dict(pl_module.state_dict())
            self._average_model.n_averaged.zero_()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.began:
            super().on_train_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "began": self.began, "seen": self._seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.began, self._seen = state_dict["began"], list(state_dict["seen"])

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self.began:
            super().on_save_checkpoint(trainer, pl_module, checkpoint)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if "averaging_state" in checkpoint:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)
