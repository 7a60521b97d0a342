import torch

from rnn_lab.tasks.tagging.batch import TaggingBatch


def test_moving_a_batch_to_a_device_leaves_the_lengths_on_the_cpu():
    batch = TaggingBatch(torch.ones(2, 3), torch.ones(2, 3), torch.tensor([3, 2]))
    moved = batch.to(torch.device("meta"))
    assert [part.device.type for part in moved] == ["meta", "meta", "cpu"]
