"""Labels and probabilities that a test saves of each row."""

import torch

from rnn_lab.classification.items import items_of


def test_a_row_has_names_and_probabilities():
    probabilities = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.3, 0.5]])
    items = items_of(probabilities, torch.tensor([0, 1]), ["a", "b", "c"])
    assert items["target"] == ["a", "b"]
    assert items["prediction"] == ["a", "c"]
    assert torch.equal(items["probability"], torch.tensor([0.9, 0.5]))
    assert items["probabilities"] is probabilities


def test_classes_without_names_are_numbers():
    items = items_of(torch.tensor([[0.1, 0.9]]), torch.tensor([0]), [])
    assert (items["target"], items["prediction"]) == (["0"], ["1"])


def test_a_row_of_several_labels_has_lists_of_them():
    items = items_of(torch.tensor([[0.9, 0.6], [0.4, 0.2]]), torch.tensor([[1, 0], [0, 1]]), "ab")
    assert items.keys() == {"target", "prediction", "probabilities"}
    assert items["target"] == [["a"], ["b"]]
    assert items["prediction"] == [["a", "b"], []]
