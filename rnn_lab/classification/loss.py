"""Loss of classifiers: cross-entropy with class weights and label smoothing."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from rnn_lab.core.task import StepOutput
from rnn_lab.errors import UserError
from rnn_lab.nn.functional.precision import at_least_float32


@dataclass(frozen=True)
class LossConfig:
    """Options of the cross-entropy loss.

    Args:
        label_smoothing: Label smoothing epsilon.
        class_weights: Weight of each class; `balanced` sets them inversely proportional to the
            number of training examples of a class, with mean 1 over the examples.
    """

    label_smoothing: float = 0.0
    class_weights: Literal["balanced"] | list[float] | None = None


def cross_entropy_step(
    logits: Tensor, labels: Tensor, weight: Tensor | None = None, label_smoothing: float = 0.0
) -> StepOutput:
    """Compute the loss and the class probabilities of a batch.

    Args:
        logits: Unnormalized scores, `(batch, num_classes)`.
        labels: Class ids `(batch,)` int64 for cross-entropy; zeros and ones
            `(batch, num_classes)` float32, in multi-label data, for binary cross-entropy.
        weight: Weight of each class, `(num_classes,)`.
        label_smoothing: Label smoothing epsilon.
    """
    logits = at_least_float32(logits)
    weight = None if weight is None else weight.to(logits)
    if labels.ndim == 1:
        loss = functional.cross_entropy(logits, labels, weight, label_smoothing=label_smoothing)
        return StepOutput(loss, logits.detach().float().softmax(1), labels, len(labels))
    smoothed = labels * (1 - label_smoothing) + label_smoothing / 2
    loss = functional.binary_cross_entropy_with_logits(logits, smoothed, weight)
    return StepOutput(loss, logits.detach().float().sigmoid(), labels.long(), len(labels))


def fixed_class_weights(config: LossConfig, num_classes: int) -> Tensor | None:
    """Return class weights that do not depend on the data, `(num_classes,)`; None: there are none.

    Raises:
        UserError: If the number of weights is not the number of classes.
    """
    weights = config.class_weights
    if weights is None or weights == "balanced":
        return None
    if len(weights) != num_classes:
        raise UserError(
            f"loss.class_weights must have {num_classes} numbers, one per class, got {len(weights)}"
        )
    return torch.tensor(weights, dtype=torch.float32)


def balanced_class_weights(data: Any) -> Tensor:
    """Return weights inversely proportional to the class counts of a data module, with mean 1.

    Raises:
        UserError: If there is no data module, or a class has no training example.
    """
    counts = getattr(data, "class_counts", None)
    if not counts or min(counts) < 1:
        raise UserError(
            "loss.class_weights=balanced requires a data module with training examples of each "
            f"class, got counts {counts}: give a list of weights instead"
        )
    frequencies = torch.tensor(counts, dtype=torch.float32)
    return frequencies.sum() / (len(counts) * frequencies)
