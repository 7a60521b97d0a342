"""Copy memory."""

from typing import Any

import numpy as np
import pytest
import torch

from rnn_lab.datamodules import CopyMemory
from rnn_lab.tasks.tagging.data import BLANK, DELIMITER, SYMBOL

SMALL = {"train_size": 43, "valid_size": 17, "test_size": 10}


def copying(delay: int = 7, **arguments: Any) -> CopyMemory:
    return CopyMemory(delay, **{**SMALL, "symbols": 5, "copied": 9, **arguments})


def rows_of(data: Any, name: str = "train") -> Any:
    return data.split(name)[np.arange(SMALL[f"{name}_size"])]


@pytest.mark.parametrize(("delay", "copied"), [(1, 1), (1, 4), (7, 3)])
def test_symbols_are_read_first_and_said_last(delay: int, copied: int) -> None:
    tokens, labels, lengths = rows_of(copying(delay, copied=copied))
    time = delay + 2 * copied
    assert tokens.shape == labels.shape == (43, time)
    assert lengths.tolist() == [time] * 43
    symbols = tokens[:, :copied] - SYMBOL
    assert set(symbols.unique().tolist()) <= set(range(5))
    assert torch.equal(labels[:, -copied:], symbols + 1)
    assert (labels[:, :-copied] == CopyMemory.blank).all()
    rest = tokens[:, copied:]
    assert (rest[:, delay - 1] == DELIMITER).all()
    assert ((rest == BLANK).sum(1) == rest.size(1) - 1).all()
