"""Training with a time budget instead of a number of epochs."""

import math
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from rnn_lab.errors import UserError
from rnn_lab.training.completion import Limit


class TimeBudget(Callback, Limit):
    """Stop training after a time budget, and anneal the learning rate over the budget.

    This compares models at equal cost: a model with faster steps takes more of them. The budget
    counts the CPU time of this process (on a GPU: wall-clock time) without validation, so that
    other programs on the machine do not reduce it. With several processes, training stops in all
    of them when the first one has used its budget. The learning rate follows half a cosine from
    the optimizer's value to a hundredth of it; no other schedule is allowed.

    Args:
        minutes: Time budget; set `max_epochs: -1` so that nothing else stops training.
        anneal_lr: Whether to anneal the learning rate; if False, the task may have a schedule.

    Raises:
        UserError: If `minutes` is not above zero.
    """

    def __init__(self, minutes: float, anneal_lr: bool = True) -> None:
        if not minutes > 0:
            raise UserError(f"TimeBudget: minutes must be above 0, got {minutes}")
        self.minutes = minutes
        self.anneal_lr = anneal_lr
        self.spent = 0.0  # seconds of training
        self.initial_lrs: list[float] = []  # of each parameter group
        self._clock = time.process_time
        self._last_time = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the initial learning rates, and start the clock.

        Raises:
            UserError: If the task has a schedule, or more than one optimizer.
        """
        if self.anneal_lr and (trainer.lr_scheduler_configs or len(trainer.optimizers) != 1):
            raise UserError(
                "TimeBudget anneals the learning rate: remove the scheduler, "
                "or set anneal_lr to false"
            )
        if pl_module.device.type != "cpu":
            self._clock = time.monotonic
        groups = trainer.optimizers[0].param_groups
        self.initial_lrs = self.initial_lrs or [group["lr"] for group in groups]
        self._last_time = self._clock()

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Set the learning rate."""
        if not self.anneal_lr:
            return
        progress = min(1.0, self.spent / (60 * self.minutes))
        factor = 0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2
        for group, lr in zip(trainer.optimizers[0].param_groups, self.initial_lrs, strict=True):
            group["lr"] = lr * factor

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Update the spent time, and stop training when the budget is used up."""
        now = self._clock()
        self.spent += now - self._last_time
        self._last_time = now
        exceeded = self.spent >= 60 * self.minutes
        if trainer.strategy.reduce_boolean_decision(exceeded, all=False):
            trainer.should_stop = True

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Exclude the time of validation."""
        self._last_time = self._clock()

    def reached(self, trainer: Trainer) -> str | None:
        """Return the reason to end training if the budget is used up."""
        exceeded = self.spent >= 60 * self.minutes
        return f"the time budget of {self.minutes:g} minutes is used up" if exceeded else None

    def state_dict(self) -> dict[str, Any]:
        return {"spent": self.spent, "initial_lrs": self.initial_lrs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.spent, self.initial_lrs = state_dict["spent"], list(state_dict["initial_lrs"])
