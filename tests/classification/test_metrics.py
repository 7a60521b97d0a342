import pytest
import torch
from torchmetrics import MetricCollection

from rnn_lab.classification.metrics import class_metrics


@pytest.mark.parametrize("num_classes", [2, 3])
def test_perfect_predictions_have_the_best_values(num_classes: int) -> None:
    labels = torch.arange(6) % num_classes
    metrics = MetricCollection(class_metrics(num_classes))
    metrics.update(torch.eye(num_classes)[labels], labels)
    values = metrics.compute()
    assert values.pop("confusion").trace() == 6
    assert all(value == 1 for value in values.values())
    assert ("auroc" in values) == (num_classes == 2)


def test_accuracy_of_several_labels_per_row_is_over_all_pairs_of_row_and_label() -> None:
    metrics = MetricCollection(class_metrics(2, multi_label=True))
    metrics.update(torch.tensor([[0.9, 0.9], [0.1, 0.9]]), torch.tensor([[1, 1], [0, 0]]))
    assert metrics.compute()["accuracy"] == 0.75
