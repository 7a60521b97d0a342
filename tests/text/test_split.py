"""Options of splits that a dataset does not provide."""

import pytest

from rnn_lab.errors import UserError
from rnn_lab.text.split import SplitConfig


@pytest.mark.parametrize("name", ["valid_fraction", "test_fraction"])
@pytest.mark.parametrize("fraction", [0, 1, -0.5])
def test_a_fraction_out_of_range_is_refused(name: str, fraction: float) -> None:
    with pytest.raises(UserError, match=f"split.{name} must be between 0 and 1, got {fraction}"):
        SplitConfig(**{name: fraction})


def test_a_missing_split_is_answered_by_the_options_that_set_it() -> None:
    assert SplitConfig().missing_split_hint("valid", "FILE") == "set --data.valid=FILE"
    hint = SplitConfig().missing_split_hint("test", "FILE")
    assert hint.startswith("set --data.test=FILE, or --data.split.test_fraction=0.2 ")
    drawn = SplitConfig(test_fraction=0.2).missing_split_hint("test", "FILE")
    assert drawn.startswith("set --data.train=FILE, from which it is drawn")


def test_without_a_fraction_the_dataset_decides() -> None:
    assert SplitConfig().valid_fraction is None
