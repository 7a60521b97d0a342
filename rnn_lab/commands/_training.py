"""Run `fit`, `validate` or `test`, and exit on preemption signals."""

import os
from collections.abc import Sequence

from rnn_lab import signals
from rnn_lab.commands._loading import loading
from rnn_lab.commands._parsing import print_error


def run(command: str, options: Sequence[str]) -> int:
    """Run a command of the Trainer, with signals handled from before the heavy imports.

    Args:
        command: `fit`, `validate` or `test`.
        options: Command-line arguments after it.

    Returns:
        0, or 128 + signal number if preempted.

    Raises:
        UserError: If the user input is invalid.
    """
    from rnn_lab.commands._early_checks import check_early  # other commands do not need it

    check_early(command, options)
    with signals.handle_signals():
        try:
            with loading("loading torch and Lightning"):
                from rnn_lab.commands import _cli

            _cli.main([command, *options])
        except signals.Preempted as preempted:
            if process_rank("RANK", "SLURM_PROCID", "LOCAL_RANK"):
                return 0  # else Lightning kills the main process, whose status is reported
            from rnn_lab.training import slurm
            from rnn_lab.training.wandb_logger import stopped_by_agent

            print_error(str(preempted))
            if not stopped_by_agent(preempted.signum):  # the job is the agent, which continues
                slurm.requeue(print_error)
            return 128 + preempted.signum
    return 0


def process_rank(*names: str) -> int:
    """Return the rank of this process from the first of these environment variables that is set."""
    return next((int(os.environ[name]) for name in names if name in os.environ), 0)
