"""Metrics of classification."""

from torchmetrics import Metric, MetricCollection
from torchmetrics import classification as metrics


def class_metrics(
    num_classes: int, multi_label: bool = False
) -> dict[str, Metric | MetricCollection]:
    """Create the metrics of class probabilities: accuracy, macro F1, AUROC, confusion matrix.

    Args:
        num_classes: Number of classes.
        multi_label: If True, a row may have several labels. Accuracy is then the fraction of
            correct decisions over all rows and labels; there is no AUROC, and a confusion
            matrix of each label.
    """
    if multi_label:
        return {
            "accuracy": metrics.MultilabelAccuracy(num_classes, average="micro"),
            "f1": metrics.MultilabelF1Score(num_classes),
            "confusion": metrics.MultilabelConfusionMatrix(num_classes),
        }
    collection: dict[str, Metric | MetricCollection] = {
        "accuracy": metrics.MulticlassAccuracy(num_classes, average="micro"),
        "f1": metrics.MulticlassF1Score(num_classes),
        "confusion": metrics.MulticlassConfusionMatrix(num_classes),
    }
    if num_classes == 2:
        collection["auroc"] = metrics.MulticlassAUROC(num_classes)
    return collection
