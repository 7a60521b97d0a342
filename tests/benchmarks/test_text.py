"""Training of text classifiers."""

from types import SimpleNamespace

import torch

from rnn_lab.benchmarks import text
from rnn_lab.tasks.text_classification.batch import TextBatch


def test_the_textbook_trains_on_the_same_examples_in_another_order():
    lengths = torch.tensor([3, 2])
    batches = [
        TextBatch(
            torch.full((2, 3), n) * (torch.arange(3) < lengths[:, None]), lengths % 2, lengths
        )
        for n in range(1, 5)
    ]
    data = SimpleNamespace(train_dataloader=lambda: batches)
    options = {"steps": 2, "batch_size": 2}
    model = SimpleNamespace(recurrent=torch.nn.GRU(2, 2))
    workload = text.textbook_workload(model, data, options)
    assert workload.flops == 2.5 * 3 * 2 * 24  # words, products, multiply and add, weights
    first, *rest = workload.batches(0)
    assert first == tuple(batches[0])
    rows = sorted(
        tuple(row[:length].tolist())
        for tokens, _, lengths in rest
        for row, length in zip(tokens, lengths, strict=True)
    )
    assert rows == [(2, 2), (2, 2, 2), (3, 3), (3, 3, 3)]
    assert sum(map(workload.count, rest)) == 4
