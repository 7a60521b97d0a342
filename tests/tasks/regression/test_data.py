from typing import Any

import numpy as np
import pytest
import torch

from rnn_lab.datamodules import AddingProblem
from rnn_lab.errors import UserError


def generate(rows: int, length: int) -> Any:
    """All rows of a training split, as one batch."""
    return AddingProblem(length, train_size=rows).split("train")[np.arange(rows)]


@pytest.mark.parametrize("length", [2, 3, 12, 25])
def test_one_step_of_each_half_is_marked_and_the_target_is_their_sum(length: int) -> None:
    values, targets, lengths = generate(43, length)
    numbers, markers = values.unbind(2)
    assert values.dtype == targets.dtype == torch.float32
    assert targets.shape == (43, 1)
    assert lengths.tolist() == [length] * 43
    assert set(markers.unique().tolist()) <= {0, 1}
    assert (markers[:, : length // 2].sum(1) == 1).all()
    assert (markers[:, length // 2 :].sum(1) == 1).all()
    torch.testing.assert_close(targets[:, 0], (numbers * markers).sum(1))


def test_numbers_and_markers_are_uniformly_distributed() -> None:
    numbers, markers = generate(20_000, 10).values.unbind(2)
    assert 0 <= numbers.min() < 0.001
    assert 0.999 < numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 0.002
    torch.testing.assert_close(markers.mean(0), torch.full((10,), 0.2), atol=0.02, rtol=0)


def test_the_baseline_is_the_error_of_predicting_one_always() -> None:
    baseline = AddingProblem(10).baseline
    assert baseline == pytest.approx(0.167, abs=0.001)
    targets = generate(20_000, 10).targets
    assert float((targets - 1).square().mean()) == pytest.approx(baseline, rel=0.03)


def test_rows_of_one_step_are_refused() -> None:
    with pytest.raises(UserError, match="length must be at least 2, got 1"):
        AddingProblem(1)
