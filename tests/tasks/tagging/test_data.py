from math import log
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from rnn_lab.datamodules import CopyMemory
from rnn_lab.errors import UserError
from rnn_lab.tasks.tagging.data import BLANK, DELIMITER, FIRST_SYMBOL


def generate(rows: int = 43, **options: Any) -> Any:
    """All rows of a training split, as one batch."""
    return CopyMemory(**options, train_size=rows).split("train")[np.arange(rows)]


@pytest.mark.parametrize(("delay", "copy_length"), [(1, 1), (1, 4), (7, 3)])
def test_symbols_are_the_first_inputs_and_the_last_labels(delay: int, copy_length: int) -> None:
    tokens, labels, lengths = generate(delay=delay, num_symbols=5, copy_length=copy_length)
    time = delay + 2 * copy_length
    assert tokens.shape == labels.shape == (43, time)
    assert lengths.tolist() == [time] * 43
    symbols = tokens[:, :copy_length] - FIRST_SYMBOL
    assert set(symbols.unique().tolist()) <= set(range(5))
    assert torch.equal(labels[:, -copy_length:], symbols + 1)
    assert (labels[:, :-copy_length] == CopyMemory.blank).all()
    rest = tokens[:, copy_length:]
    assert (rest[:, delay - 1] == DELIMITER).all()
    assert ((rest == BLANK).sum(1) == rest.size(1) - 1).all()


def test_ids_and_labels_are_below_the_declared_sizes() -> None:
    data = CopyMemory(delay=3)
    tokens, labels, _ = generate(500, delay=3)
    assert (int(tokens.max()) + 1, int(labels.max()) + 1) == (data.vocab_size, data.num_classes)
    assert tokens.min() > 0  # 0 is padding
    assert data.label_names == ["blank", "1", "2", "3", "4", "5", "6", "7", "8"]


def test_the_baseline_is_the_loss_without_memory() -> None:
    data = CopyMemory(100)
    assert data.baseline == pytest.approx(10 * log(8) / 120)
    labels = torch.as_tensor(generate(delay=100).labels)
    logits = torch.full((*labels.shape, 9), -torch.inf)
    logits[:, :110, 0] = 0
    logits[:, 110:, 1:] = 0
    loss = functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    assert float(loss) == pytest.approx(data.baseline)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delay": 0}, "delay must be at least 1, got 0"),
        ({"num_symbols": 1}, "num_symbols must be at least 2, got 1"),
        ({"copy_length": 0}, "copy_length must be at least 1, got 0"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        CopyMemory(**options)
