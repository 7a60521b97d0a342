"""Options of splits that a dataset does not provide."""

import pytest

from rnn_lab.errors import UserError
from rnn_lab.text.split import SplitConfig


@pytest.mark.parametrize("fraction", [0, 1, -0.5])
def test_a_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(UserError, match=f"valid_fraction must be between 0 and 1, got {fraction}"):
        SplitConfig(fraction)


def test_without_a_fraction_the_dataset_decides() -> None:
    assert SplitConfig().valid_fraction is None
