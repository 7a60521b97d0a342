"""Evaluate a checkpoint on the test split."""

from collections.abc import Sequence

from rnn_lab.commands._training import run


def main(options: Sequence[str]) -> int:
    """Evaluate a checkpoint on the test split.

    Args:
        options: Command-line arguments after `test`.

    Returns:
        The exit status, see `rnn_lab.commands._training.run`.
    """
    return run("test", options)
