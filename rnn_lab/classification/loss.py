"""The loss of classifiers, with class weights and label smoothing."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from rnn_lab.core.task import StepOutput
from rnn_lab.errors import UserError


def class_scores(
    logits: Tensor, labels: Tensor, weight: Tensor | None = None, label_smoothing: float = 0.0
) -> StepOutput:
    """Score logits by cross-entropy; where a row may have several labels, each for itself.

    Args:
        logits: Unnormalized predictions, `(batch, num_classes)`.
        labels: Class ids `(batch,)` int64, or zeros and ones `(batch, num_classes)` float32.
        weight: Weight of each class, `(num_classes,)`.
        label_smoothing: Share of each target that is spread evenly.
    """
    if labels.ndim == 1:
        loss = functional.cross_entropy(logits, labels, weight, label_smoothing=label_smoothing)
        return StepOutput(loss, logits.detach().float().softmax(1), labels, len(labels))
    smooth = labels * (1 - label_smoothing) + label_smoothing / 2
    loss = functional.binary_cross_entropy_with_logits(logits, smooth, weight)
    return StepOutput(loss, logits.detach().float().sigmoid(), labels.long(), len(labels))


def weigh_classes(
    weights: Literal["balanced"] | list[float] | None,
    counts: list[int] | None,
    num_classes: int,
) -> Tensor | None:
    """Turn what was asked for into a weight for each class, `(num_classes,)`."""
    if weights is None:
        return None
    if weights == "balanced":
        if not counts or min(counts) < 1:
            raise UserError(f"balanced class_weights need rows of each class, got {counts}")
        found = torch.tensor(counts, dtype=torch.float32)
        return found.sum() / (num_classes * found)
    if len(weights) != num_classes:
        raise UserError(f"class_weights must be {num_classes} numbers, got {len(weights)}")
    return torch.tensor(weights, dtype=torch.float32)
