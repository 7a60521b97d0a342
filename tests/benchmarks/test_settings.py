"""Options that all parts share."""

import pytest

from rnn_lab.benchmarks.settings import Settings
from rnn_lab.errors import UserError


@pytest.mark.parametrize(
    "options", [{"rounds": 0}, {"threads": (1, -2)}], ids=["rounds", "threads"]
)
def test_numbers_below_one_are_refused(options):
    with pytest.raises(UserError, match=rf"^--{next(iter(options))} must be at least 1, got"):
        Settings(**options)
