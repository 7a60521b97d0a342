"""A run whose limits were reached is complete: the same command does not train it further."""

from abc import ABC, abstractmethod
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Timer


class Limit(ABC):
    """A callback that ends training at a limit, and can tell from its state that it was reached."""

    @abstractmethod
    def reached(self, trainer: Trainer) -> str | None:
        """Return the reason to end training with the current limit; None if there is none."""


class Completion(Callback):
    """Train no further if a resumed run has reached its limits.

    Lightning itself stores `max_epochs` and `max_steps`, but not that early stopping, a time budget
    or another callback has ended a run, and would train an epoch or a step more each time. With a
    larger limit training continues.

    Attributes:
        reason: Why a resumed run is complete; None if training continues.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._stopped_at: dict[str, Any] | None = None  # limits at which another callback stopped
        self._resumed_step: int | None = None

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the limits of the Trainer if a callback that is no `Limit` has ended training."""
        stopped = trainer.should_stop and trainer.fit_loop._can_stop_early
        if stopped and not _reasons(trainer):
            checkpoint["stopped_at"] = _limits(trainer)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._stopped_at = checkpoint.get("stopped_at")
        self._resumed_step = checkpoint["global_step"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop before the first step if a limit was reached."""
        if self._resumed_step is None:
            return
        reasons = _reasons(trainer)
        if self._stopped_at == _limits(trainer):
            reasons.append("a callback has stopped it")
        if reasons:
            self.reason = reasons[0]
            trainer.should_stop = True

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Determine whether any step was taken."""
        if self._resumed_step is None or trainer.global_step > self._resumed_step:
            self.reason = None
            return
        epochs: Any = trainer.fit_loop.epoch_progress.current
        epochs.completed = epochs.started  # the checkpoint was saved before the last one counted
        limits = [f"{name}={getattr(trainer, name)}" for name in ("max_epochs", "max_steps")]
        self.reason = self.reason or f"{' or '.join(limits)} is reached"


def _reasons(trainer: Trainer) -> list[str]:
    callbacks: list[Callback] = vars(trainer)["callbacks"]
    limits = [callback for callback in callbacks if isinstance(callback, Limit)]
    return [reason for limit in limits if (reason := limit.reached(trainer))]


def _limits(trainer: Trainer) -> dict[str, Any]:
    """Return the limits of the Trainer as plain values."""
    callbacks: list[Callback] = vars(trainer)["callbacks"]
    return {
        "max_epochs": trainer.max_epochs,
        "max_steps": trainer.max_steps,
        "min_epochs": trainer.min_epochs,
        "min_steps": trainer.min_steps,
        "seconds": [timer._duration for timer in callbacks if isinstance(timer, Timer)],
    }
