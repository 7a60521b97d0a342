import torch

from rnn_lab.tasks.sequence_classification.batch import SequenceBatch


def test_lengths_stay_on_the_cpu() -> None:
    batch = SequenceBatch(torch.zeros(2, 3, 1), torch.zeros(2), torch.tensor([3, 1]))
    moved = batch.to(torch.device("meta"))
    assert moved.values.device.type == moved.labels.device.type == "meta"
    assert moved.lengths.device.type == "cpu"
