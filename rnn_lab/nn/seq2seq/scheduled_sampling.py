"""How often a decoder in training is shown the true last word: a share that may fall."""

import math

SCHEDULES = ("constant", "linear", "inverse_sigmoid")


class ScheduledSampling:
    """The share of steps at which a decoder reads the true word, by training step.

    Source: Bengio et al. (2015), https://arxiv.org/abs/1506.03099, section 2.4.

    Args:
        schedule: `constant`, `linear` (falls from `ratio` to `final` in `steps`) or
            `inverse_sigmoid` (falls by `k / (k + exp(step / k))` with k the number of `steps`: it
            is half way at `k log k`).
        ratio: Share at the first step.
        final: Share that it falls to.
        steps: How fast it falls, in training steps.

    Raises:
        ValueError: If a number has no meaning.
    """

    def __init__(
        self,
        schedule: str = "constant",
        ratio: float = 1.0,
        final: float = 0.0,
        steps: int = 10_000,
    ) -> None:
        if schedule not in SCHEDULES:
            wish = ", ".join(SCHEDULES)
            raise ValueError(f"teacher_forcing_schedule must be one of {wish}, got {schedule!r}")
        for name, value in (("ratio", ratio), ("final", final)):
            if not 0 <= value <= 1:
                raise ValueError(f"teacher_forcing_{name} must be 0 to 1, got {value}")
        if steps < 1:
            raise ValueError(f"teacher_forcing_steps must be at least 1, got {steps}")
        if schedule == "constant" and final != 0:
            raise ValueError(
                f"teacher_forcing_final means nothing with a constant schedule, got {final}"
            )
        if schedule != "constant" and final > ratio:
            raise ValueError(
                f"teacher_forcing_final must be at most the ratio, {ratio}, got {final}"
            )
        self.schedule, self.ratio, self.final, self.steps = schedule, ratio, final, steps

    def at(self, step: int) -> float:
        """Give the share at a training step, counted from 0."""
        if self.schedule == "constant":
            return self.ratio
        return self.final + (self.ratio - self.final) * self._left(step)

    def _left(self, step: int) -> float:
        """How much of the fall is left: 1 at first, 0 at last."""
        if self.schedule == "linear":
            return max(0.0, 1 - step / self.steps)
        k = self.steps
        return k / (k + math.exp(min(step / k, 700.0)))
