"""Run `fit`, `validate` or `test`, and leave when a signal asks for it."""

import os
from collections.abc import Sequence

from rnn_lab import signals
from rnn_lab.commands._parsing import tell


def run(command: str, options: Sequence[str]) -> int:
    """Run a command of the Trainer; signals are handled from before the heavy imports on.

    Args:
        command: `fit`, `validate` or `test`.
        options: Words of the command line after it.

    Returns:
        0, or 128 and the number of the signal that preempted it.
    """
    with signals.handle_signals():
        try:
            from rnn_lab.commands import _cli

            _cli.main([command, *options])
        except signals.Preempted as left:
            if process_number("RANK", "SLURM_PROCID", "LOCAL_RANK"):
                return 0  # else Lightning kills the first process, whose status counts
            from rnn_lab.training import slurm

            tell(str(left))
            slurm.requeue(tell)
            return 128 + left.signum
    return 0


def process_number(*names: str) -> int:
    """Return the number of this process, by the first of these variables that is set."""
    return next((int(os.environ[name]) for name in names if name in os.environ), 0)
