import numpy as np
import torch

from rnn_lab.tasks.sequence_classification.dataset import SequenceDataset


def test_a_batch_contains_its_padded_rows() -> None:
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(time, 3)).astype(np.float32) for time in (4, 1, 6, 2)]
    dataset = SequenceDataset(sequences, [0, 1, 2, 1])
    rows = np.array([3, 0, 1])
    batch = dataset[rows]
    assert batch.values.shape == (3, 4, 3)
    for values, length, row in zip(batch.values, batch.lengths, rows, strict=True):
        np.testing.assert_array_equal(values[:length], sequences[row])
        assert (values[length:] == 0).all()
    assert batch.lengths.tolist() == [2, 4, 1]
    assert batch.labels.tolist() == [1, 0, 1]
    assert len(dataset) == 4


def test_gathering_does_not_modify_the_data() -> None:
    dataset = SequenceDataset([np.ones((1, 1)), np.ones((3, 1))], [0, 0])
    first = dataset[np.array([0, 1])]
    assert torch.equal(dataset[np.array([0, 1])].values, first.values)
    assert (dataset.values == 1).all()
