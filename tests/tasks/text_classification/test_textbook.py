import pytest
import torch
from torch.utils.data import DataLoader

from rnn_lab.tasks.text_classification.textbook import SentimentDataset, collate_variable_length

VOCAB = {"<PAD>": 0, "<UNK>": 1, "good": 2, "film": 3, "bad": 4}
TEXTS = ["good film", "bad", "a good bad film"]


@pytest.fixture
def dataset() -> SentimentDataset:
    return SentimentDataset(TEXTS, [1, 0, 1], VOCAB)


def test_an_item_is_the_ids_and_the_label_of_a_text(dataset: SentimentDataset) -> None:
    ids, label = dataset[2]
    assert ids.tolist() == [1, 2, 4, 3]
    assert ids.dtype == torch.int64
    assert label == 1
    assert len(dataset) == 3


def test_long_texts_are_truncated() -> None:
    ids, _ = SentimentDataset(TEXTS, [1, 0, 1], VOCAB, max_length=2)[2]
    assert ids.tolist() == [1, 2]


def test_the_collate_function_pads_with_zeros_and_keeps_the_order(
    dataset: SentimentDataset,
) -> None:
    padded, labels, lengths = collate_variable_length([dataset[i] for i in (1, 2, 0)])
    assert padded.tolist() == [[4, 0, 0, 0], [1, 2, 4, 3], [2, 3, 0, 0]]
    assert labels.tolist() == [0, 1, 1]
    assert lengths.tolist() == [1, 4, 2]
    assert padded.dtype == labels.dtype == lengths.dtype == torch.int64


def test_the_data_loader_of_the_textbook_runs(dataset: SentimentDataset) -> None:
    loader = DataLoader(dataset, batch_size=2, collate_fn=collate_variable_length)
    assert [lengths.tolist() for _, _, lengths in loader] == [[2, 1], [4]]


def test_an_empty_text_is_refused() -> None:
    dataset = SentimentDataset(["good", "", "bad"], [1, 0, 1], VOCAB)
    with pytest.raises(ValueError, match="row 1 of the batch is empty"):
        collate_variable_length([dataset[i] for i in range(3)])


def test_invalid_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 3 labels, one per text, got 1"):
        SentimentDataset(TEXTS, [1], VOCAB)
    with pytest.raises(ValueError, match="must have an id for '<UNK>'"):
        SentimentDataset(TEXTS, [1, 0, 1], {"good": 0})
