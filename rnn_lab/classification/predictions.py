"""Predictions of single rows with their true labels, as rows of a table."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

THRESHOLD = 0.5  # of a label's probability in multi-label data, as in the metrics
COLUMNS = ("truth", "predicted", "probability")
MULTI_LABEL_COLUMNS = ("truth", "predicted", "label", "probability")


class Prediction(NamedTuple):
    """What a classifier predicts for one row; predictions are ordered by their probability.

    Attributes:
        probability: Probability of the predicted class; in multi-label data, of the decision on
            `label`, whether the row has it or not.
        row: Index of the row in its split.
        truth: Ids of the true classes.
        predicted: Ids of the predicted classes.
        label: Id of a class in multi-label data, None otherwise: that of the wrong decision with
            the highest probability, or if all are right, of the decision with the lowest one.
    """

    probability: float
    row: int
    truth: tuple[int, ...]
    predicted: tuple[int, ...]
    label: int | None = None

    def cells(self, names: Sequence[str]) -> list[str | float]:
        """Return the cells of `COLUMNS` or `MULTI_LABEL_COLUMNS`; several classes are joined.

        Args:
            names: Names of the classes.
        """
        classes = ["|".join(names[i] for i in ids) for ids in (self.truth, self.predicted)]
        label = [] if self.label is None else [names[self.label]]
        return [*classes, *label, round(self.probability, 4)]


def predictions_of(probabilities: Tensor, targets: Tensor, rows: Tensor) -> list[Prediction]:
    """Return the prediction for each row of a batch.

    Args:
        probabilities: Class probabilities, `(batch, num_classes)`.
        targets: Class ids `(batch,)`; in multi-label data zeros and ones `(batch, num_classes)`.
        rows: Indices of the rows in their split, `(batch,)`.
    """
    if targets.ndim == 2:
        return _multi_label_predictions(probabilities, targets.bool(), rows)
    probability, predicted = probabilities.max(1)
    columns = (each.tolist() for each in (probability, rows, targets.long(), predicted))
    return [Prediction(p, row, (t,), (y,)) for p, row, t, y in zip(*columns, strict=True)]


def _multi_label_predictions(
    probabilities: Tensor, targets: Tensor, rows: Tensor
) -> list[Prediction]:
    predicted = probabilities > THRESHOLD
    probability = torch.where(predicted, probabilities, 1 - probabilities)
    # Wrong decisions come first, the most certain one foremost; right ones the least certain one.
    label = torch.where(predicted != targets, 1 + probability, 1 - probability).argmax(1)
    probability = probability.gather(1, label[:, None])[:, 0]
    names = (_class_ids(each) for each in (targets, predicted))
    columns = (probability.tolist(), rows.tolist(), *names, label.tolist())
    return [Prediction(*cells) for cells in zip(*columns, strict=True)]


def _class_ids(chosen: Tensor) -> list[tuple[int, ...]]:
    """Return the ids of the chosen classes of each row of a mask, `(batch, num_classes)`."""
    return [tuple(i for i, each in enumerate(row) if each) for row in chosen.tolist()]
