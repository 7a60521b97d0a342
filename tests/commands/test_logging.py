"""Messages of the commands."""

import logging
import warnings

from rnn_lab.commands._logging import configure_logging


def test_own_messages_are_shown_and_hints_of_lightning_are_not():
    with warnings.catch_warnings(record=True) as caught:
        configure_logging()
        warnings.warn("The 'train_dataloader' does not have many workers", stacklevel=1)
    assert caught == []
    assert logging.getLogger("rnn_lab").isEnabledFor(logging.INFO)
    assert not logging.getLogger("lightning.pytorch").isEnabledFor(logging.INFO)
