"""Submit training to a SLURM cluster: one run, or an array of runs.

Examples:
    rnn-lab submit -c lstm_classifier --name=first --gpus-per-node=4 --time=12:00:00 --dry-run
"""

import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from rnn_lab.commands import _batch_script as batch_script
from rnn_lab.commands._concise_parser import ConciseParser
from rnn_lab.commands._dry_run import Run, make_plan
from rnn_lab.commands._parsing import split_options
from rnn_lab.commands._sbatch_options import check_sbatch_options, gpus_of
from rnn_lab.commands.status import check_not_running
from rnn_lab.errors import UserError
from rnn_lab.io.run_files import SUBMISSION
from rnn_lab.training.runs import prepare_run_dir

OPTIONS = {
    "nodes": (int, "number of nodes"),
    "gpus-per-node": (str, "GPUs per node, such as 4 or a100:4; 0 trains on the CPU"),
    "tasks-per-node": (int, "processes per node (default: one per GPU, or one without GPUs)"),
    "cpus-per-task": (int, "CPU cores per process"),
    "mem": (str, "memory per node, such as 32G"),
    "partition": (str, "partition of the cluster"),
    "account": (str, "account to charge"),
    "qos": (str, "quality of service"),
    "time": (str, "wall-time limit, such as 12:00:00; a longer run is requeued and resumed"),
    "signal-before": (
        int,
        "seconds before the time limit at which training saves a checkpoint and exits",
    ),
    "retries": (int, "how often a job is requeued after a process was killed"),
    "array": (str, "YAML file of options with lists of values: every combination is a run"),
    "at-once": (int, "maximum number of runs of the array at a time"),
}
REPEATABLE = {
    "setup": "shell command to run first, such as 'module load cuda'; can be repeated",
    "sbatch": "further option of sbatch, such as --exclusive; can be repeated",
}
DEFAULTS = {"nodes": 1, "gpus-per-node": "0", "signal-before": 120, "retries": 3}
MINIMUM = {"retries": 0}  # 1 for all other numbers


def main(options: Sequence[str]) -> None:
    """Write a batch script to the run directory and submit it.

    Args:
        options: Command-line arguments after `submit`.

    Raises:
        UserError: If an option is invalid, or sbatch fails.
    """
    own, fit = split_submit_options(options)
    args = _validate(_parser().parse_args(own))
    if not args.dry_run and shutil.which("sbatch") is None:
        raise UserError(
            "sbatch is not available: use --dry-run to show the script, or fit or torchrun to train"
            " without SLURM"
        )
    with ExitStack() as reserved:
        plan = make_plan(args, split_options(fit), None if args.dry_run else reserved)
        for run in plan.runs:
            check_not_running(run.folder)
        script = batch_script.script(args, plan)
        _check_syntax(script)
        if args.dry_run:
            sys.stdout.write(script)
            return
        for run in plan.runs:
            if run.overwrite:
                prepare_run_dir(run.folder)
        path = _write(plan.folder / "submit.sh", script)
    job = _submit(path)  # which may start at once, and locks the folder itself
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
    own: list[str] = []
    fit: list[str] = []
    remaining = iter(args)
    for arg in remaining:
        written, equals, value = arg.partition("=")
        key = written.replace("_", "-")
        if key.startswith("--") and key[2:] in {*OPTIONS, *REPEATABLE}:
            following = [value] if equals else [text for text in [next(remaining, None)] if text]
            own.append("=".join([key, *following]))
        elif key in ("-h", "--help", "--dry-run"):
            own.append(key + equals + value)
        else:
            fit.append(arg)
    return own, fit


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
    for name, text in REPEATABLE.items():
        parser.add_argument(f"--{name}", action="append", default=[], help=text)
    parser.add_argument(
        "--dry-run", action="store_true", help="print the script without submitting it"
    )
    return parser


def _validate(args: Namespace) -> Namespace:
    """Check numbers and combinations of options, and set the number of processes."""
    for name, (kind, _) in OPTIONS.items():
        value, minimum = vars(args)[name.replace("-", "_")], MINIMUM.get(name, 1)
        if kind is int and value is not None and value < minimum:
            raise UserError(f"--{name} must be at least {minimum}, got {value}")
    args.gpus_per_node, args.gpu_type = gpus_of(args.gpus_per_node)
    args.gpus_by_sbatch = check_sbatch_options(args.sbatch, args.gpus_per_node)
    args.tasks_per_node = args.tasks_per_node or args.gpus_per_node or 1
    if args.gpus_per_node not in (0, args.tasks_per_node):
        raise UserError("each GPU has one process: remove --tasks-per-node")
    if args.at_once and not args.array:
        raise UserError("--at-once requires an array: give --array=FILE")
    if args.time is not None and (limit := seconds_of(args.time)) <= args.signal_before:
        raise UserError(
            f"--time={args.time} are {limit:.0f} s, but training ends {args.signal_before} s "
            "before the limit: raise --time or lower --signal-before"
        )
    return args


def seconds_of(limit: str) -> float:
    """Convert a wall-time limit of sbatch to seconds.

    Args:
        limit: `MINUTES`, `MINUTES:SECONDS`, `HOURS:MINUTES:SECONDS` or one of these with days:
            `DAYS-HOURS`, `DAYS-HOURS:MINUTES`, `DAYS-HOURS:MINUTES:SECONDS`; or `UNLIMITED`.

    Raises:
        UserError: If the format is another one.

    Example:
        >>> [seconds_of(limit) for limit in ("90", "1:30", "12:00:00", "1-6")]
        [5400, 90, 43200, 108000]
    """
    if limit.upper() in ("UNLIMITED", "INFINITE"):
        return math.inf
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", limit)
    if match is None:
        raise UserError(f"--time={limit} is no time limit such as 90 (minutes) or 12:00:00")
    days, *rest = match.groups()
    parts = [int(part) for part in rest if part is not None]
    if days is None and len(parts) < 3:
        parts.insert(0, 0)  # hours
    hours, minutes, seconds = [*parts, 0, 0][:3]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


def _check_syntax(script: str) -> None:
    """Check the syntax of the script if a shell is installed here.

    Raises:
        UserError: If it is not valid bash, for example because of `--setup`.
    """
    bash = shutil.which("bash")
    if bash is None:
        return
    check = subprocess.run([bash, "-n"], input=script, capture_output=True, text=True, check=False)
    if check.returncode:
        reason = check.stderr.strip().splitlines()[:1] or ["unknown"]
        raise UserError(f"the script is not valid bash, check --setup: {reason[0]}")


def _write(path: Path, script: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script, encoding="utf-8")
    except OSError as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)  # empty on a full disk
            path.parent.rmdir()
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    return path


def _submit(path: Path) -> str:
    """Submit the script with sbatch, and return the job ID."""
    inside_job = "SLURM_JOB_ID" in os.environ  # do not pass the settings of this job on
    environment = {
        name: value
        for name, value in os.environ.items()
        if not (inside_job and name.startswith("SLURM_")) or name == "SLURM_CONF"
    }
    finished = subprocess.run(
        ["sbatch", "--parsable", str(path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        path.unlink()
        with suppress(OSError):  # not empty if it contains a run
            path.parent.rmdir()
        raise UserError(finished.stderr or f"sbatch failed with status {finished.returncode}")
    return finished.stdout.strip().partition(";")[0]  # the cluster name may follow


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
