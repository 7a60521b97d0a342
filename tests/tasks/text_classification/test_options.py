"""Groups of options of text classifiers."""

import pytest

from rnn_lab.core.options import as_options, plain_options
from rnn_lab.errors import UserError
from rnn_lab.tasks.text_classification.options import Dropouts, Initialization, TextLossConfig

EVERY = [
    Dropouts(0.1, 0.2, 0.3, 0.4),
    Initialization(0.5, "torch"),
    TextLossConfig(0.1, [1.0, 2.0], multi_label=True),
]


@pytest.mark.parametrize("options", EVERY, ids=lambda options: type(options).__name__)
def test_options_are_restored_from_plain_values(options):
    assert as_options(type(options), plain_options(options)) == options


def test_an_unknown_initialization_is_refused_with_its_choices():
    with pytest.raises(UserError, match="scheme must be one of recommended, torch, got 'xavier'"):
        as_options(Initialization, {"scheme": "xavier"})
