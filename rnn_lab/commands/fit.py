"""Train a model on data."""

from collections.abc import Sequence

from rnn_lab.commands._training import run


def main(options: Sequence[str]) -> int:
    """Train a model on data.

    Args:
        options: Command-line arguments after `fit`.

    Returns:
        The exit status, see `rnn_lab.commands._training.run`.
    """
    return run("fit", options)
