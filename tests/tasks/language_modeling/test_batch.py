import torch

from rnn_lab.tasks.language_modeling.batch import LMBatch


def test_moving_a_batch_to_a_device_moves_its_tensors_and_keeps_its_flags():
    batch = LMBatch(torch.ones(2, 3), torch.zeros(2, 3), reset_state=True, lr_scale=0.5)
    moved = batch.to(torch.device("meta"))
    assert (moved.tokens.device.type, moved.targets.device.type) == ("meta", "meta")
    assert (moved.reset_state, moved.lr_scale) == (True, 0.5)
