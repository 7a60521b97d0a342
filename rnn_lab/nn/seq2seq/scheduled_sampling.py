"""Scheduled sampling: a teacher-forcing ratio that depends on the training step."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

Schedule = Literal["constant", "linear", "inverse_sigmoid"]


@dataclass(frozen=True)
class ScheduledSampling:
    """Teacher-forcing ratio of a decoder by training step.

    The ratio is the probability that the decoder reads the true previous token instead of its own
    prediction, drawn for each sequence and step. At a ratio of one whole sequences are read in one
    call.

    Source: Bengio et al. (2015), https://arxiv.org/abs/1506.03099, section 2.4.

    Args:
        schedule: `constant`, `linear` (decays from `initial_ratio` to `final_ratio` within
            `decay_steps`) or `inverse_sigmoid` (decays by `k / (k + exp(step / k))` where k is
            `decay_steps`; half of the decay is reached at step `k log k`).
        initial_ratio: Ratio at the first step.
        final_ratio: Ratio at the end of the decay; only for schedules that decay.
        decay_steps: Speed of the decay, in training steps.

    Raises:
        ValueError: If a value is out of its range.
    """

    schedule: Schedule = "constant"
    initial_ratio: float = 1.0
    final_ratio: float = 0.0
    decay_steps: int = 10_000

    def __post_init__(self) -> None:
        if self.schedule not in get_args(Schedule):
            names = ", ".join(get_args(Schedule))
            raise ValueError(
                f"scheduled_sampling.schedule must be one of {names}, got {self.schedule!r}"
            )
        for name in ("initial_ratio", "final_ratio"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"scheduled_sampling.{name} must be from 0 to 1, got {getattr(self, name)}"
                )
        if self.decay_steps < 1:
            raise ValueError(
                f"scheduled_sampling.decay_steps must be at least 1, got {self.decay_steps}"
            )
        if self.schedule == "constant" and self.final_ratio != 0:
            raise ValueError(
                "scheduled_sampling.final_ratio has no effect with a constant schedule, got "
                f"{self.final_ratio}: set scheduled_sampling.schedule"
            )
        if self.schedule != "constant" and self.final_ratio > self.initial_ratio:
            raise ValueError(
                "scheduled_sampling.final_ratio must be at most initial_ratio, "
                f"{self.initial_ratio}, got {self.final_ratio}"
            )

    def ratio_at(self, step: int) -> float:
        """Return the ratio at a training step, counted from 0."""
        if self.schedule == "constant":
            return self.initial_ratio
        return self.final_ratio + (self.initial_ratio - self.final_ratio) * self._decay(step)

    def _decay(self, step: int) -> float:
        """Return the decay factor: 1 at the first step, 0 at the end."""
        if self.schedule == "linear":
            return max(0.0, 1 - step / self.decay_steps)
        k = self.decay_steps
        return k / (k + math.exp(min(step / k, 700.0)))
