"""Base class of predictors of labels: answers as rows of a table and as lines."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from rnn_lab.core.predictor import Answer, RecordPredictor
from rnn_lab.io.lines import format_names


@runtime_checkable
class Classifying(Protocol):
    """a task with a `loss` and a method `probabilities`, as every classifier of this package."""

    loss: Any

    def probabilities(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Compute the probability of each class, `(batch, classes)`, from padded rows."""


class LabelPredictor(RecordPredictor):
    """Predict a label, or a list of labels, and the probabilities of all labels by name.

    Attributes:
        labels: Names of the classes in the order of their ids.
    """

    task_type = Classifying
    line = "label"
    labels: list[str]

    def __repr__(self) -> str:
        return f"{super().__repr__().removesuffix(')')}, labels: {format_names(self.labels)})"

    def header(self) -> list[str]:
        """Return the names of the columns; each label has a column for its probability."""
        return [*super().header(), *(f"probability_{label}" for label in self.labels)]

    def row(self, answer: Answer) -> list[Any]:
        """Return the cells of an answer; several labels are joined by a vertical bar."""
        probabilities = answer["probabilities"] or {}
        cells = super().row(answer | {"label": self.text(answer) or None})
        return [*cells, *(probabilities.get(label) for label in self.labels)]

    def text(self, answer: Answer) -> str:
        """Return the label; several are joined by a vertical bar."""
        label = answer["label"]
        return "|".join(label) if isinstance(label, list) else label or ""
