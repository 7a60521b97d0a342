"""The adding problem."""

from typing import Any

import numpy as np
import pytest
import torch

from rnn_lab.datamodules import AddingProblem

SMALL = {"train_size": 43, "valid_size": 17, "test_size": 10}


def adding(length: int = 12, **arguments: Any) -> AddingProblem:
    return AddingProblem(length, **{**SMALL, **arguments})


def rows_of(data: Any, name: str = "train") -> Any:
    return data.split(name)[np.arange(SMALL[f"{name}_size"])]


@pytest.mark.parametrize("length", [2, 3, 12, 25])
def test_one_step_of_each_half_is_marked_and_the_target_is_their_sum(length: int) -> None:
    values, targets, lengths = rows_of(adding(length))
    numbers, marks = values.unbind(2)
    assert values.dtype == targets.dtype == torch.float32
    assert targets.shape == (43, 1)
    assert lengths.tolist() == [length] * 43
    assert set(marks.unique().tolist()) <= {0, 1}
    assert (marks[:, : length // 2].sum(1) == 1).all()
    assert (marks[:, length // 2 :].sum(1) == 1).all()
    torch.testing.assert_close(targets[:, 0], (numbers * marks).sum(1))
