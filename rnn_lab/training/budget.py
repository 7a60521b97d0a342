"""Training for a given time instead of a number of epochs."""

import math
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from rnn_lab.errors import UserError


class TimeBudget(Callback):
    """End training when it has computed for so long, the learning rate falling all the while.

    For comparisons at equal cost: who takes a step faster takes more of them. What counts is the
    processor time of this process (on a GPU, where the processor only waits, time that passes),
    validation left out; other programs on the machine take nothing from it. In several processes
    the first to have spent its budget ends training for all. The learning rate falls along half a
    cosine, from that of the optimizer to a hundredth of it: no other schedule beside.

    Args:
        minutes: Time to train for; give `max_epochs: -1` for no other end.
        anneal_lr: Lower the learning rate; if not, it is left to the task.

    Raises:
        UserError: If `minutes` is not above zero, or the task has a schedule of its own.
    """

    def __init__(self, minutes: float, anneal_lr: bool = True) -> None:
        if not minutes > 0:
            raise UserError(f"TimeBudget: minutes must be above 0, got {minutes}")
        self.minutes = minutes
        self.anneal_lr = anneal_lr
        self.spent = 0.0  # seconds
        self.rates: list[float] = []  # of the optimizer's groups, at the beginning
        self._clock = time.process_time
        self._mark = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the learning rates to fall from, and begin to count.

        Raises:
            UserError: If there is another schedule, or more than one optimizer.
        """
        if self.anneal_lr and (trainer.lr_scheduler_configs or len(trainer.optimizers) != 1):
            raise UserError("TimeBudget lowers the learning rate: leave the scheduler out")
        if pl_module.device.type != "cpu":
            self._clock = time.monotonic
        groups = trainer.optimizers[0].param_groups
        self.rates = self.rates or [group["lr"] for group in groups]
        self._mark = self._clock()

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Set the learning rate."""
        if not self.anneal_lr:
            return
        share = min(1.0, self.spent / (60 * self.minutes))
        factor = 0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2
        for group, rate in zip(trainer.optimizers[0].param_groups, self.rates, strict=True):
            group["lr"] = rate * factor

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Count, and end training where the time is over."""
        now = self._clock()
        self.spent += now - self._mark
        self._mark = now
        over = self.spent >= 60 * self.minutes
        if trainer.strategy.reduce_boolean_decision(over, all=False):
            trainer.should_stop = True

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave out what validation took."""
        self._mark = self._clock()

    def state_dict(self) -> dict[str, Any]:
        return {"spent": self.spent, "rates": self.rates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.spent, self.rates = state_dict["spent"], list(state_dict["rates"])
