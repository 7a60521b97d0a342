"""Laws of the indices of padded sequences, and of masks."""

import pytest
import torch

from rnn_lab.nn.functional.padding import PaddingInfo, check_lengths, lengths_to_mask

LENGTHS, TIME = torch.tensor([2, 4, 1]), 4


def steps() -> torch.Tensor:
    """Return `10 * sequence + step + 1`, `(time, batch, 1)`."""
    return (10 * torch.arange(3) + torch.arange(1, 5).unsqueeze(1)).unsqueeze(-1)


def info() -> PaddingInfo:
    return PaddingInfo(LENGTHS, TIME, torch.device("cpu"))


def test_padding_is_set_to_zero() -> None:
    zeroed = info().zero_padding(steps())[..., 0].T
    assert zeroed.tolist() == [[1, 2, 0, 0], [11, 12, 13, 14], [21, 0, 0, 0]]


def test_sequences_are_reversed_within_their_lengths() -> None:
    backward = info().reverse(steps())[..., 0].T
    assert backward.tolist() == [[2, 1, 3, 4], [14, 13, 12, 11], [21, 22, 23, 24]]


def test_the_last_real_step_is_selected() -> None:
    assert info().last_step(steps()).flatten().tolist() == [2, 14, 21]


def test_the_mask_is_the_complement_of_the_padding() -> None:
    mask = lengths_to_mask(LENGTHS, TIME)
    assert mask.sum(1).tolist() == LENGTHS.tolist()
    assert torch.equal(~mask, info().padding_mask[..., 0].T)


@pytest.mark.parametrize(
    "lengths", [[2, 4, 1], torch.tensor([2.0, 4.0, 1.0]), torch.tensor([2, 4, 1]).int()]
)
def test_lengths_of_another_type_are_an_error(lengths: object) -> None:
    with pytest.raises(TypeError, match="lengths must be"):
        check_lengths(lengths, 3, TIME)
