import numpy as np
import pytest
import torch
from torchmetrics import classification as metrics

from rnn_lab.classification.per_class import format_scores, scores_per_class

LABELS = ["bad", "fair", "good"]


def scores_of(multi_label):
    generator = torch.Generator().manual_seed(0)
    if multi_label:
        options = {"num_labels": 3}
        predictions, targets = torch.randint(2, (2, 50, 3), generator=generator)
        matrix = metrics.MultilabelConfusionMatrix(**options)(predictions, targets)
        prefix = "Multilabel"
    else:
        options = {"num_classes": 3}
        predictions, targets = torch.randint(3, (2, 50), generator=generator)
        matrix = metrics.MulticlassConfusionMatrix(**options)(predictions, targets)
        prefix = "Multiclass"
    names = {"precision": "Precision", "recall": "Recall", "f1": "F1Score"}
    expected = {
        name: getattr(metrics, prefix + each)(**options, average="none")(predictions, targets)
        for name, each in names.items()
    }
    return scores_per_class(matrix.numpy(), LABELS), expected


@pytest.mark.parametrize("multi_label", [False, True], ids=["one label", "several labels"])
def test_scores_equal_those_of_torchmetrics(multi_label):
    scores, expected = scores_of(multi_label)
    assert [each.label for each in scores] == LABELS
    for name, values in expected.items():
        assert [getattr(each, name) for each in scores] == pytest.approx(values.tolist())
    assert multi_label or sum(each.support for each in scores) == 50


def test_a_class_without_rows_has_no_recall():
    first, second = scores_per_class(np.array([[3, 1], [0, 0]]), ["a", "b"])
    assert first == ("a", 1.0, 0.75, 6 / 7, 4)
    assert second == ("b", 0.0, None, 0.0, 0)


def test_columns_of_the_table_are_aligned():
    table = format_scores(scores_per_class(np.array([[3, 1], [0, 0]]), ["a", "long name"]))
    assert table.splitlines() == [
        "class      precision  recall      f1  support",
        "a             1.0000  0.7500  0.8571        4",
        "long name     0.0000       -  0.0000        0",
    ]
