"""Learning rates that fall over a whole training run, step by step."""

import math
from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from rnn_lab.errors import UserError


class Decay(LRScheduler, ABC):
    """Rise to the optimizer's learning rate, then fall to a part of it until training ends.

    A Task steps it after every optimizer step (`interval`) and sets `total_steps` from the Trainer
    before training. That number is no part of the state: resumed with more epochs, the fall is
    stretched.

    Args:
        optimizer: Its learning rates are the highest reached.
        warmup: Fraction of all steps in which the rate rises.
        final: Rate at the last step, as a fraction of the highest.

    Raises:
        UserError: If `warmup` is not in [0, 1) or `final` not in [0, 1].
    """

    interval = "step"

    def __init__(self, optimizer: Optimizer, warmup: float = 0.0, final: float = 0.05) -> None:
        name = type(self).__name__
        if not 0 <= warmup < 1:
            raise UserError(f"{name}: warmup must be a fraction from 0 to below 1, got {warmup}")
        if not 0 <= final <= 1:
            raise UserError(f"{name}: final must be a fraction from 0 to 1, got {final}")
        self.warmup, self.final = warmup, final
        self._total_steps: int | None = None
        super().__init__(optimizer)

    @property
    def total_steps(self) -> int | None:
        """Optimizer steps of the whole training; set it before the first one.

        Raises:
            UserError: If set to less than one step, or to infinity: there is no end to fall to.
        """
        return self._total_steps

    @total_steps.setter
    def total_steps(self, total: float) -> None:
        name = type(self).__name__
        if not 1 <= total < math.inf:
            wish = "set max_epochs or max_steps"
            raise UserError(f"{name} must know when training ends, got {total} steps: {wish}")
        self._total_steps = int(total)
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = rate
        self._last_lr = self.get_lr()

    def get_lr(self) -> list[float | Tensor]:
        """Rate of each parameter group at the current step."""
        factor = self._factor(self.last_epoch)
        return [float(rate) * factor for rate in self.base_lrs]

    def _factor(self, step: int) -> float:
        if self._total_steps is None:
            if step > 0:
                raise ValueError(f"set {type(self).__name__}.total_steps before the first step")
            return 1.0
        rising = round(self.warmup * self._total_steps)
        if step < rising:
            return (step + 1) / (rising + 1)
        progress = min(1.0, (step - rising) / max(1, self._total_steps - rising))
        return self.final + (1 - self.final) * self.remaining(progress)

    @abstractmethod
    def remaining(self, progress: float) -> float:
        """How much of the fall is left, from 1 at progress 0 to 0 at progress 1."""

    def state_dict(self) -> dict[str, Any]:
        return {k: v for k, v in super().state_dict().items() if k != "_total_steps"}


class CosineDecay(Decay):
    """Lower the learning rate along half a cosine until training ends.

    Source: Loshchilov & Hutter (2017), https://arxiv.org/abs/1608.03983, without restarts.

    Args:
        optimizer: Its learning rates are the highest reached.
        warmup: Fraction of all steps in which the rate rises to that.
        final: Rate at the last step, as a fraction of the highest.
    """

    def remaining(self, progress: float) -> float:
        return (1 + math.cos(math.pi * progress)) / 2


class LinearDecay(Decay):
    """Lower the learning rate in a straight line until training ends.

    Args:
        optimizer: Its learning rates are the highest reached.
        warmup: Fraction of all steps in which the rate rises to that.
        final: Rate at the last step, as a fraction of the highest.
    """

    def remaining(self, progress: float) -> float:
        return 1 - progress
