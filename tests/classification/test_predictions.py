import pytest
import torch

from rnn_lab.classification.predictions import (
    COLUMNS,
    MULTI_LABEL_COLUMNS,
    Prediction,
    predictions_of,
)

ROWS = torch.tensor([5, 3])


def test_the_most_probable_class_is_predicted():
    probabilities = torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    first, second = predictions_of(probabilities, torch.tensor([0, 0]), ROWS)
    assert first == Prediction(0.75, 5, (0,), (1,))
    assert second == Prediction(0.5, 3, (0,), (0,))


def test_several_labels_are_ranked_by_the_most_certain_wrong_decision():
    probabilities = torch.tensor([[0.875, 0.75, 0.125], [0.875, 0.375, 0.125]])
    targets = torch.tensor([[0, 1, 1], [1, 0, 0]])
    wrong, right = predictions_of(probabilities, targets, ROWS)
    assert wrong in (
        Prediction(0.875, 5, (1, 2), (0, 1), label) for label in (0, 2)
    )  # both are equally certain
    assert right == Prediction(0.625, 3, (0,), (0,), 1)  # the least certain decision


@pytest.mark.parametrize("seed", range(3))
def test_a_row_is_an_error_exactly_if_a_decision_is_wrong(seed):
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.rand(20, 3, generator=generator)
    targets = torch.randint(2, (20, 3), generator=generator)
    found = predictions_of(probabilities, targets, torch.arange(20))
    wrong = (probabilities.round().long() != targets).any(1)
    assert [each.truth != each.predicted for each in found] == wrong.tolist()
    for each in found:
        p = probabilities[each.row, each.label]
        assert each.probability == pytest.approx(float(max(p, 1 - p)))
        is_wrong = (each.label in each.truth) != (each.label in each.predicted)
        assert is_wrong == (each.truth != each.predicted)


def test_cells_have_the_names_of_the_classes():
    single, several = Prediction(0.98765, 0, (1,), (0,)), Prediction(0.5, 0, (), (0, 1), 1)
    assert single.cells("ab") == ["b", "a", 0.9877]
    assert several.cells("ab") == ["", "a|b", "b", 0.5]
    assert len(single.cells("ab")) == len(COLUMNS)
    assert len(several.cells("ab")) == len(MULTI_LABEL_COLUMNS)
