"""Learning-rate schedules over a whole training run, updated every step."""

import math
from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from rnn_lab.errors import UserError


class Decay(LRScheduler, ABC):
    """Warm up to the optimizer's learning rate, then decay to a fraction of it.

    A Task updates the schedule after every optimizer step (`interval`) and sets `total_steps` from
    the Trainer before training. `total_steps` is not part of the state: if a run is resumed with
    more epochs, the decay extends over all of them.

    Args:
        optimizer: Optimizer whose learning rates are the peak rates.
        warmup: Fraction of all steps in which the rate increases linearly.
        final: Rate at the last step, as a fraction of the peak rate.

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
        """Number of optimizer steps of the whole training; must be set before the first one.

        Raises:
            UserError: If set to less than one step, or to infinity.
        """
        return self._total_steps

    @total_steps.setter
    def total_steps(self, total: float) -> None:
        name = type(self).__name__
        if not 1 <= total < math.inf:
            raise UserError(
                f"{name} needs a finite number of steps, got {total}: set max_epochs or max_steps"
            )
        self._total_steps = int(total)
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = rate
        self._last_lr = self.get_lr()

    def get_lr(self) -> list[float | Tensor]:
        """Return the learning rate of each parameter group at the current step."""
        factor = self._factor(self.last_epoch)
        return [float(rate) * factor for rate in self.base_lrs]

    def _factor(self, step: int) -> float:
        if self._total_steps is None:
            if step > 0:
                raise ValueError(f"set {type(self).__name__}.total_steps before the first step")
            return 1.0
        warmup_steps = round(self.warmup * self._total_steps)
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        decay_steps = max(1, self._total_steps - warmup_steps)
        progress = min(1.0, (step - warmup_steps) / decay_steps)
        return self.final + (1 - self.final) * self.remaining(progress)

    @abstractmethod
    def remaining(self, progress: float) -> float:
        """Return the remaining fraction of the decay, from 1 at progress 0 to 0 at progress 1."""

    def state_dict(self) -> dict[str, Any]:
        return {k: v for k, v in super().state_dict().items() if k != "_total_steps"}


class CosineDecay(Decay):
    """Decay the learning rate along half a cosine until training ends.

    Source: Loshchilov & Hutter (2017), https://arxiv.org/abs/1608.03983, without restarts.

    Args:
        optimizer: Optimizer whose learning rates are the peak rates.
        warmup: Fraction of all steps in which the rate increases linearly.
        final: Rate at the last step, as a fraction of the peak rate.
    """

    def remaining(self, progress: float) -> float:
        return (1 + math.cos(math.pi * progress)) / 2


class LinearDecay(Decay):
    """Decay the learning rate linearly until training ends.

    Args:
        optimizer: Optimizer whose learning rates are the peak rates.
        warmup: Fraction of all steps in which the rate increases linearly.
        final: Rate at the last step, as a fraction of the peak rate.
    """

    def remaining(self, progress: float) -> float:
        return 1 - progress
