"""What a claim predicts: a variant is better than another in a metric."""

from dataclasses import dataclass
from typing import Literal

COSTS = ("parameters", "processor_seconds", "seconds", "peak_memory")
REDUCTIONS = {"mean", "max", "min", "last"}  # of the values of a metric over training
GRADIENT = "gradient"


@dataclass(frozen=True)
class Hypothesis:
    """A prediction on the difference between two variants in a metric.

    Attributes:
        text: The prediction in words.
        metric: A score of the test, such as `test/accuracy`; a cost, such as `parameters`; or
            a reduction of a metric over training, such as `mean val/bleu`; or `gradient 100`, the
            relative norm of the gradient over that many steps, see
            `rnn_lab.nn.diagnostics.gradient_by_distance`.
        variant: The variant that is predicted to be better.
        than: The variant that it is compared with.
        direction: Whether it should have a `higher` or a `lower` value.
        margin: By how much it may be worse all the same, in the units of the metric; for
            comparable results.
        scale: `linear` for differences, `log` for ratios; costs and gradients are always compared
            by ratios.
        min_source_length: Take only sentences with a source of at least so many tokens.
    """

    text: str
    metric: str
    variant: str
    than: str
    direction: Literal["higher", "lower"]
    margin: float = 0.0
    scale: Literal["linear", "log"] = "linear"
    min_source_length: int = 0

    @property
    def is_ratio(self) -> bool:
        """Whether values are compared by their ratio."""
        return self.scale == "log" or self.metric in COSTS or self.distance is not None

    @property
    def is_tested(self) -> bool:
        """Whether the metric is a score of the test."""
        return self.metric.startswith("test/")

    @property
    def distance(self) -> int | None:
        """The distance of a gradient in steps; None for other metrics."""
        word, _, steps = self.metric.partition(" ")
        return int(steps) if word == GRADIENT and steps.isdigit() else None

    @property
    def sign(self) -> int:
        """1 if a higher value is better, else -1."""
        return 1 if self.direction == "higher" else -1

    def problem(self) -> str | None:
        """Return what is wrong with it; None if nothing is."""
        words = self.metric.split(" ")
        of_training = len(words) == 2 and words[0] in REDUCTIONS and "/" in words[1]
        known = self.is_tested or self.metric in COSTS or self.distance is not None
        if not (known or of_training):
            return (
                f"metric must be a score such as test/accuracy, one of {', '.join(COSTS)}, "
                "mean, max, min or last of a metric, such as mean val/loss, or a gradient over "
                f"some steps, such as gradient 100, got {self.metric!r}"
            )
        if self.direction not in ("higher", "lower"):
            return f"direction must be higher or lower, got {self.direction!r}"
        if self.scale not in ("linear", "log"):
            return f"scale must be linear or log, got {self.scale!r}"
        if self.margin < 0 or (self.margin and self.is_ratio):
            return "margin must be at least 0, and 0 for ratios"
        if self.min_source_length and (self.is_ratio or not self.is_tested):
            return "min_source_length needs a score of the test on a linear scale"
        return None
