"""What a test of a classifier saves of each row."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from rnn_lab.classification.predictions import THRESHOLD


def items_of(
    probabilities: Tensor, targets: Tensor, names: Sequence[str]
) -> dict[str, list[Any] | Tensor]:
    """Return true and predicted labels, and probabilities.

    Args:
        probabilities: Class probabilities, `(batch, num_classes)`.
        targets: Class ids `(batch,)`; in multi-label data zeros and ones `(batch, num_classes)`.
        names: Names of the classes; without them, their numbers are used.

    Returns:
        `target` and `prediction`, names of classes, in multi-label data lists of them;
        `probability` of the predicted class, except in multi-label data; and `probabilities` in
        the order of the classes, `(batch, num_classes)`.
    """
    names = names or [str(i) for i in range(probabilities.size(1))]
    if targets.ndim == 2:
        return {
            "target": _chosen(targets.bool(), names),
            "prediction": _chosen(probabilities > THRESHOLD, names),
            "probabilities": probabilities,
        }
    probability, predicted = probabilities.max(1)
    return {
        "target": [names[i] for i in targets.tolist()],
        "prediction": [names[i] for i in predicted.tolist()],
        "probability": probability,
        "probabilities": probabilities,
    }


def _chosen(mask: Tensor, names: Sequence[str]) -> list[list[str]]:
    return [[n for n, each in zip(names, row, strict=True) if each] for row in mask.tolist()]
