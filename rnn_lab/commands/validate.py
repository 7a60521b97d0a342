"""Evaluate a checkpoint on the validation split."""

from collections.abc import Sequence

from rnn_lab.commands._training import run


def main(options: Sequence[str]) -> int:
    """Evaluate a checkpoint on the validation split.

    Args:
        options: Command-line arguments after `validate`.

    Returns:
        The exit status, see `rnn_lab.commands._training.run`.
    """
    return run("validate", options)
