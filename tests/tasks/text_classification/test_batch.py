import torch

from rnn_lab.tasks.text_classification.batch import TextBatch


def test_lengths_stay_on_the_cpu() -> None:
    batch = TextBatch(torch.zeros(2, 3), torch.zeros(2), torch.tensor([3, 1]))
    moved = batch.to(torch.device("meta"))
    assert moved.tokens.device.type == moved.labels.device.type == "meta"
    assert moved.lengths.device.type == "cpu"
