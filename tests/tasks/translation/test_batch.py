"""The batch of translation."""

import torch

from rnn_lab.tasks.translation.batch import PairBatch


def test_moving_a_batch_leaves_lengths_and_references_on_the_cpu():
    ids, lengths = torch.ones(2, 3, dtype=torch.long), torch.tensor([3, 2])
    batch = PairBatch(ids, ids, lengths, lengths, ("a", "b")).to(torch.device("meta"))
    assert (batch.src.device.type, batch.trg.device.type) == ("meta", "meta")
    assert (batch.src_lengths.device.type, batch.trg_lengths.device.type) == ("cpu", "cpu")
    assert batch.references == ("a", "b")
