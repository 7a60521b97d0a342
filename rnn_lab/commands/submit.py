"""Train on a SLURM cluster, one run or an array of them."""

import json
import os
import shutil
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rnn_lab.commands import _batch_script as batch_script
from rnn_lab.commands._dry_run import Run, planned
from rnn_lab.commands._parsing import ConciseErrorsMixin, split_options
from rnn_lab.commands.status import SUBMISSION, refuse_running
from rnn_lab.errors import UserError
from rnn_lab.training.runs import prepare_run_dir

PLAIN = {
    "nodes": (int, "computers"),
    "gpus-per-node": (int, "GPUs of each; 0 trains on processors"),
    "tasks-per-node": (int, "processes on each; if not given one for each GPU, without GPUs one"),
    "cpus-per-task": (int, "processor cores of each process"),
    "mem": (str, "memory of each computer, such as 32G"),
    "partition": (str, "queue of the cluster"),
    "account": (str, "who is charged"),
    "qos": (str, "quality of service"),
    "time": (str, "most time, such as 12:00:00; a run that needs more goes on in another turn"),
    "signal-before": (int, "seconds before the time is over at which training saves and leaves"),
    "retries": (int, "how often a job whose process was killed is put back"),
    "array": (str, "YAML of options and lists of their values: each combination is a run"),
    "at-once": (int, "most runs of the array at a time"),
}
REPEATED = {
    "setup": "line of shell to run first, such as 'module load cuda'; can be repeated",
    "sbatch": "another option of sbatch, such as --exclusive; can be repeated",
}
DEFAULTS = {"nodes": 1, "gpus-per-node": 0, "signal-before": 120, "retries": 3}
LEAST = {"gpus-per-node": 0, "retries": 0}  # of all other numbers it is 1


class SubmitParser(ConciseErrorsMixin, ArgumentParser):
    """A parser with errors of one line."""


def main(options: Sequence[str]) -> None:
    """Write the script of a job into the run's folder and submit it.

    Args:
        options: Words of the command line after `submit`.

    Raises:
        UserError: If something that was given is wrong, or sbatch refuses.
    """
    own, fit = divided(options)
    args = _checked(_parser().parse_args(own))
    if not args.dry_run and shutil.which("sbatch") is None:
        raise UserError(
            "there is no sbatch here: --dry-run shows the script; without SLURM use fit or torchrun"
        )
    plan = planned(args, split_options(fit))
    for run in plan.runs:
        refuse_running(run.folder)
    script = batch_script.script(args, plan)
    if args.dry_run:
        sys.stdout.write(script)
        return
    for run in plan.runs:
        if run.overwrite:
            prepare_run_dir(run.folder)
    job = _submitted(plan.folder / "submit.sh", script)
    for number, run in enumerate(plan.runs):
        _note(run.folder, f"{job}_{number}" if args.array else job)
    log = f"slurm-{job}_*.log" if args.array else f"slurm-{job}.log"
    _tell(job, plan.folder, log, plan.runs)


def divided(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Tell the options of `submit` from those of `fit`.

    Example:
        >>> divided(["--nodes", "2", "--model=LSTM", "--sbatch", "--exclusive", "--name", "a"])
        (['--nodes=2', '--sbatch=--exclusive'], ['--model=LSTM', '--name', 'a'])
    """
    own: list[str] = []
    fit: list[str] = []
    left = iter(words)
    for word in left:
        key, equals, _ = word.partition("=")
        takes_value = key.startswith("--") and key[2:] in {*PLAIN, *REPEATED}
        if takes_value and not equals:
            own.append("=".join([word, *(value for value in [next(left, None)] if value)]))
        elif takes_value or word in ("-h", "--help", "--dry-run"):
            own.append(word)
        else:
            fit.append(word)
    return own, fit


def _parser() -> SubmitParser:
    parser = SubmitParser(
        prog="rnn-lab submit",
        usage="rnn-lab submit [OPTIONS] [OPTIONS OF FIT]",
        description="Train as a SLURM job. All options that are not listed here are those of "
        "`rnn-lab fit`. With --name, the same command once more goes on with the run.",
    )
    for name, (kind, about) in PLAIN.items():
        default = DEFAULTS.get(name)
        about += "" if default is None else f" ({default})"
        parser.add_argument(f"--{name}", type=kind, default=default, help=about)
    for name, about in REPEATED.items():
        parser.add_argument(f"--{name}", action="append", default=[], help=about)
    parser.add_argument("--dry-run", action="store_true", help="show the script, do nothing")
    return parser


def _checked(args: Namespace) -> Namespace:
    """Refuse numbers that mean nothing, and settle how many processes there are."""
    for name, (kind, _) in PLAIN.items():
        value, least = vars(args)[name.replace("-", "_")], LEAST.get(name, 1)
        if kind is int and value is not None and value < least:
            raise UserError(f"--{name} must be at least {least}, got {value}")
    args.tasks_per_node = args.tasks_per_node or args.gpus_per_node or 1
    if args.gpus_per_node not in (0, args.tasks_per_node):
        raise UserError("each GPU has one process: leave --tasks-per-node out")
    if args.at_once and not args.array:
        raise UserError("--at-once is for the runs of an array: give --array=FILE")
    return args


def _submitted(path: Path, script: str) -> str:
    """Write the script and hand it to sbatch; the number of the job."""
    inside = "SLURM_JOB_ID" in os.environ  # what this job was given is not meant for the next
    environment = {
        name: value
        for name, value in os.environ.items()
        if not (inside and name.startswith("SLURM_")) or name == "SLURM_CONF"
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    finished = subprocess.run(
        ["sbatch", "--parsable", str(path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        path.unlink()
        with suppress(OSError):  # it holds a run
            path.parent.rmdir()
        raise UserError(finished.stderr or f"sbatch failed with status {finished.returncode}")
    return finished.stdout.strip().partition(";")[0]  # the name of a cluster may follow


def _note(folder: Path, job: str) -> None:
    """Keep the number of the job with the run, for `rnn-lab status`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"job": job, "submitted": int(time.time())})
    (folder / SUBMISSION).write_text(text + "\n", encoding="utf-8")


def _tell(job: str, folder: Path, log: str, runs: Sequence[Run]) -> None:
    lines = [f"job {job}: {folder}" if len(runs) == 1 else f"job {job}: {len(runs)} runs"]
    lines += [f"  {run.folder}" for run in runs if len(runs) > 1]
    lines += [f"  {run.folder} goes on from {run.goes_on}" for run in runs if run.goes_on]
    lines += [f"  script: {folder / 'submit.sh'}", f"  log:    {folder / log}"]
    sys.stdout.write("\n".join(lines) + "\n")
