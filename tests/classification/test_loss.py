from types import SimpleNamespace

import pytest
import torch
from torch import nn

from rnn_lab.classification.loss import (
    LossConfig,
    balanced_class_weights,
    cross_entropy_step,
    fixed_class_weights,
)
from rnn_lab.errors import UserError


def test_the_step_returns_loss_probabilities_and_number_of_targets() -> None:
    logits, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    output = cross_entropy_step(logits, labels, torch.tensor([1.0, 2, 3]), 0.1)
    criterion = nn.CrossEntropyLoss(torch.tensor([1.0, 2, 3]), label_smoothing=0.1)
    torch.testing.assert_close(output.loss, criterion(logits, labels))
    torch.testing.assert_close(output.predictions, logits.softmax(1))
    assert output.targets is labels
    assert output.num_targets == 4


def test_several_labels_per_row_are_scored_by_binary_cross_entropy() -> None:
    logits, labels = torch.randn(4, 3), torch.tensor([[1.0, 0, 1]] * 4)
    output = cross_entropy_step(logits, labels)
    expected = nn.functional.binary_cross_entropy(logits.sigmoid(), labels)
    torch.testing.assert_close(output.loss, expected)
    assert output.targets.dtype == torch.int64


def test_label_smoothing_of_several_labels_moves_targets_towards_one_half() -> None:
    logits, labels = torch.randn(4, 3), torch.tensor([[1.0, 0, 1]] * 4)
    output = cross_entropy_step(logits, labels, label_smoothing=0.2)
    smoothed = torch.tensor([[0.9, 0.1, 0.9]] * 4)
    expected = nn.functional.binary_cross_entropy_with_logits(logits, smoothed)
    torch.testing.assert_close(output.loss, expected)


def test_balanced_class_weights_have_mean_one_over_the_examples() -> None:
    counts = [10, 30, 60]
    weights = balanced_class_weights(SimpleNamespace(class_counts=counts))
    torch.testing.assert_close((weights * torch.tensor(counts)).sum() / 100, torch.tensor(1.0))
    torch.testing.assert_close(weights[0], 6 * weights[2])


def test_balanced_class_weights_require_examples_of_each_class() -> None:
    for data in (None, SimpleNamespace(class_counts=[]), SimpleNamespace(class_counts=[1, 0])):
        with pytest.raises(UserError, match="requires a data module with training examples"):
            balanced_class_weights(data)


def test_fixed_class_weights_are_checked_against_the_number_of_classes() -> None:
    assert fixed_class_weights(LossConfig(), 2) is None
    assert fixed_class_weights(LossConfig(class_weights="balanced"), 2) is None
    weights = fixed_class_weights(LossConfig(class_weights=[1, 2]), 2)
    assert weights is not None
    assert weights.tolist() == [1, 2]
    with pytest.raises(UserError, match="must have 3 numbers, one per class, got 2"):
        fixed_class_weights(LossConfig(class_weights=[1, 2]), 3)
