"""Several runs of one experiment that differ in the random seed: `rnn-lab fit --seeds`."""

import sys
from collections.abc import Sequence

from rnn_lab.commands._early_checks import check_early
from rnn_lab.commands._loading import loading
from rnn_lab.commands._parallel_runs import train_all
from rnn_lab.commands._parsing import split_options, value_of
from rnn_lab.errors import UserError

OWN = ("--seeds", "--jobs")


def run_seeds(arguments: Sequence[str]) -> int:
    """Train a run for each seed; the same command resumes runs and leaves out finished ones.

    Args:
        arguments: Command-line arguments after `fit`.

    Returns:
        0 if all runs have finished, 1 if one failed, 128 + signal number if interrupted.

    Raises:
        UserError: If an option is invalid, or a folder contains a run with other options.
    """
    options = split_options(arguments)
    own = {key: value_of(option) for option in options if (key := _key(option)) in OWN}
    rest = [option for option in options if _key(option) not in OWN]
    seeds, jobs = parse_seeds(own.get("--seeds")), _jobs(own.get("--jobs", "1"))
    if any(_key(option) == "--seed_everything" for option in rest):
        raise UserError("--seed_everything contradicts --seeds: remove it")
    check_early("fit", [argument for option in rest for argument in option])
    with loading("loading torch and Lightning"):
        from rnn_lab.commands._seed_plan import plan

    runs = plan(rest, seeds)
    for run in runs:
        print(f"{run.folder}: {run.note}", file=sys.stderr)
    status = train_all(runs, jobs)
    if not status and len(runs) > 1:
        print(f"next:\n  rnn-lab compare {runs[0].folder.parent}")
    return status


def _key(option: list[str]) -> str:
    return option[0].partition("=")[0]


def parse_seeds(text: str | None) -> list[int]:
    """Return the seeds of `--seeds`.

    Raises:
        UserError: If they are not distinct numbers.
    """
    if text is None:
        raise UserError("--jobs needs --seeds, such as --seeds=1,2,3")
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() for part in parts):
        raise UserError(f"--seeds must be numbers separated by commas, such as 1,2,3, got {text}")
    seeds = [int(part) for part in parts]
    if len({*seeds}) < len(seeds):
        raise UserError(f"--seeds={text} has a seed twice")
    return seeds


def _jobs(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise UserError(f"--jobs must be a number of at least 1, got {text}")
    return int(text)
