"""How well classes are predicted."""

from torchmetrics import Metric, MetricCollection
from torchmetrics import classification as metrics


def class_metrics(
    num_classes: int, multi_label: bool = False
) -> dict[str, Metric | MetricCollection]:
    """Measure how well classes are predicted from probabilities.

    Args:
        num_classes: Number of classes.
        multi_label: Whether a row may have several. Accuracy is then the share of right answers,
            one for each row and label.
    """
    if multi_label:
        return {
            "accuracy": metrics.MultilabelAccuracy(num_classes, average="micro"),
            "f1": metrics.MultilabelF1Score(num_classes),
        }
    found: dict[str, Metric | MetricCollection] = {
        "accuracy": metrics.MulticlassAccuracy(num_classes, average="micro"),
        "f1": metrics.MulticlassF1Score(num_classes),
        "confusion": metrics.MulticlassConfusionMatrix(num_classes),
    }
    if num_classes == 2:
        found["auroc"] = metrics.MulticlassAUROC(num_classes)
    return found
