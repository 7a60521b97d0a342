"""Zoneout of all steps, for compiled kernels."""

from dataclasses import dataclass

from torch import Tensor

from rnn_lab.nn.functional.state import LayerState


@dataclass(frozen=True)
class Zoneout:
    """Zoneout of all steps, see `rnn_lab.nn.functional.state.zoneout`.

    Attributes:
        p: Probability of keeping the previous value of a unit.
        masks: For each state tensor, `(time, batch, hidden_size)`, one where a unit keeps it in a
            step and zero elsewhere, in the order in which the steps are processed; None: the
            expected state is used.
    """

    p: float
    masks: tuple[Tensor, ...] | None = None

    @classmethod
    def draw(cls, p: float, time: int, state: LayerState) -> "Zoneout":
        """Draw the same random numbers as one call of `zoneout` for each step.

        Args:
            p: Probability of keeping the previous value.
            time: Number of steps.
            state: Initial state, each tensor `(batch, hidden_size)`.
        """
        drawn = state[0].new_empty(time, len(state), *state[0].shape).uniform_()
        return cls(p, drawn.lt_(p).unbind(1))
