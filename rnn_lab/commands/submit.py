"""Submit training to a SLURM cluster: one run, or an array of runs.

Examples:
    rnn-lab submit -c lstm_classifier --name=first --gpus-per-node=4 --time=12:00:00 --dry-run
"""

import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rnn_lab.commands import _batch_script as batch_script
from rnn_lab.commands._concise_parser import ConciseParser
from rnn_lab.commands._dry_run import Run, make_plan
from rnn_lab.commands._parsing import separate_options, split_options
from rnn_lab.commands._sbatch import check_syntax, require_sbatch, submit_script, write_script
from rnn_lab.commands._sbatch_options import (
    DEFAULTS,
    JOB_OPTIONS,
    REPEATABLE,
    check_job_options,
    check_number,
)
from rnn_lab.commands.status import check_not_running
from rnn_lab.errors import UserError
from rnn_lab.io.run_files import SUBMISSION
from rnn_lab.training.runs import prepare_run_dir

OPTIONS = {
    "nodes": (int, "number of nodes"),
    "tasks-per-node": (int, "processes per node (default: one per GPU, or one without GPUs)"),
    "array": (str, "YAML file of options with lists of values: every combination is a run"),
    "at-once": (int, "maximum number of runs of the array at a time"),
}


def main(options: Sequence[str]) -> None:
    """Write a batch script to the run directory and submit it.

    Args:
        options: Command-line arguments after `submit`.

    Raises:
        UserError: If an option is invalid, or sbatch fails.
    """
    own, fit = split_submit_options(options)
    args = _validate(_parser().parse_args(own))
    if not args.dry_run:
        require_sbatch("fit or torchrun")
    with ExitStack() as reserved:
        plan = make_plan(args, split_options(fit), None if args.dry_run else reserved)
        for run in plan.runs:
            check_not_running(run.folder)
        script = batch_script.script(args, plan)
        check_syntax(script)
        if args.dry_run:
            sys.stdout.write(script)
            return
        for run in plan.runs:
            if run.overwrite:
                prepare_run_dir(run.folder)
        path = write_script(plan.folder / "submit.sh", script)
    job = submit_script(path)  # which may start at once, and locks the folder itself
    for number, run in enumerate(plan.runs):
        job_of_run = f"{job}_{number}" if args.array else job
        _write_submission(run.folder, job_of_run, plan.folder / f"slurm-{job_of_run}.log")
    log = f"slurm-{job}_*.log" if args.array else f"slurm-{job}.log"
    _print_summary(job, plan.folder, log, plan.runs)


def split_submit_options(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate the options of `submit` from those of `fit`.

    Example:
        >>> split_submit_options(["--nodes", "2", "--model=LSTM", "--sbatch", "--exclusive"])
        (['--nodes=2', '--sbatch=--exclusive'], ['--model=LSTM'])
    """
    return separate_options(args, {*OPTIONS, *JOB_OPTIONS, *REPEATABLE}, ("--dry-run",))


def _parser() -> ConciseParser:
    parser = ConciseParser(
        prog="rnn-lab submit",
        usage="rnn-lab submit [OPTIONS] [OPTIONS OF FIT]",
        description="Train as a SLURM job. All options that are not listed here are passed to "
        "`rnn-lab fit`. With --name, running the same command again resumes the run.",
    )
    for name, (kind, text) in OPTIONS.items():
        default = DEFAULTS.get(name)
        text += "" if default is None else f" (default: {default})"
        parser.add_argument(f"--{name}", type=kind, default=default, help=text)
    for name, (kind, text) in JOB_OPTIONS.items():
        default = DEFAULTS.get(name)
        text += "" if default is None else f" (default: {default})"
        parser.add_argument(f"--{name}", type=kind, default=default, help=text)
    for name, text in REPEATABLE.items():
        parser.add_argument(f"--{name}", action="append", default=[], help=text)
    parser.add_argument(
        "--dry-run", action="store_true", help="print the script without submitting it"
    )
    return parser


def _validate(args: Namespace) -> Namespace:
    """Check numbers and combinations of options, and set the number of processes."""
    for name, (kind, _) in OPTIONS.items():
        if kind is int:
            check_number(args, name)
    check_job_options(args)
    args.tasks_per_node = args.tasks_per_node or args.gpus_per_node or 1
    if args.gpus_per_node not in (0, args.tasks_per_node):
        raise UserError("each GPU has one process: remove --tasks-per-node")
    if args.at_once and not args.array:
        raise UserError("--at-once requires an array: give --array=FILE")
    return args


def _write_submission(folder: Path, job: str, log: Path) -> None:
    """Save job ID and path of the log in the run directory, for `rnn-lab status`."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {"job": job, "submitted": int(time.time()), "log": os.path.relpath(log, folder)}
    text = json.dumps(record)
    (folder / SUBMISSION).write_text(text + "\n", encoding="utf-8")


def _print_summary(job: str, folder: Path, log: str, runs: Sequence[Run]) -> None:
    lines = [f"job {job}: {folder}" if len(runs) == 1 else f"job {job}: {len(runs)} runs"]
    lines += [f"  {run.folder}" for run in runs if len(runs) > 1]
    lines += [f"  {run.folder} resumes from {run.resume_from}" for run in runs if run.resume_from]
    lines += [f"  script: {folder / 'submit.sh'}", f"  log:    {folder / log}"]
    sys.stdout.write("\n".join(lines) + "\n")
