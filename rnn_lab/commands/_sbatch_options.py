"""Options of SLURM jobs that `submit` and `sweep` share, and how they are validated."""

import math
import re
import shlex
from argparse import Namespace
from collections.abc import Iterator, Sequence

from rnn_lab.errors import UserError

JOB_OPTIONS = {
    "gpus-per-node": (str, "GPUs per node, such as 4 or a100:4; 0 trains on the CPU"),
    "cpus-per-task": (int, "CPU cores per process"),
    "mem": (str, "memory per node, such as 32G"),
    "partition": (str, "partition of the cluster"),
    "account": (str, "account to charge"),
    "qos": (str, "quality of service"),
    "time": (str, "wall-time limit, such as 12:00:00; a longer job is requeued and resumed"),
    "signal-before": (
        int,
        "seconds before the time limit at which training saves a checkpoint and exits",
    ),
    "retries": (int, "how often a job is requeued after a process was killed"),
}
REPEATABLE = {
    "setup": "shell command to run first, such as 'module load cuda'; can be repeated",
    "sbatch": "further option of sbatch, such as --exclusive; can be repeated",
}
DEFAULTS = {"nodes": 1, "gpus-per-node": "0", "signal-before": 120, "retries": 3}
MINIMUM = {"retries": 0}  # 1 for all other numbers

# Options of sbatch on which the rest of the script depends, with the option that sets them.
SET_BY = {
    **dict.fromkeys(("nodes", "N"), "--nodes"),
    **dict.fromkeys(("ntasks", "n", "ntasks-per-node"), "--tasks-per-node"),
    **dict.fromkeys(("gpus", "G", "gpus-per-node", "gpus-per-task"), "--gpus-per-node"),
    **dict.fromkeys(("cpus-per-task", "c"), "--cpus-per-task"),
    **dict.fromkeys(("time", "t"), "--time"),
    **dict.fromkeys(("array", "a"), "--array"),
    **dict.fromkeys(("output", "o"), "--name, whose folder has the log"),
    "signal": "--signal-before",
}
# Options that change the one process on one node that a worker of a sweep is.
SHAPE = ("nodes", "N", "ntasks", "n", "ntasks-per-node", "array", "a")
GENERIC_RESOURCES = ("gres", "tres-per-node", "tres-per-job", "tres-per-task")


def check_job_options(args: Namespace, *, worker: bool = False) -> None:
    """Check the options of a job, and set the number and type of its GPUs.

    Args:
        args: Values of `JOB_OPTIONS` and `REPEATABLE`. `gpus_per_node` becomes a number, and
            `gpu_type` and `gpus_by_sbatch` are set.
        worker: Whether the job is an array of workers of a sweep.

    Raises:
        UserError: If a value is invalid, or training would end at once.
    """
    for name, (kind, _) in JOB_OPTIONS.items():
        if kind is int:
            check_number(args, name)
    args.gpus_per_node, args.gpu_type = gpus_of(args.gpus_per_node)
    args.gpus_by_sbatch = check_sbatch_options(args.sbatch, args.gpus_per_node, worker=worker)
    if args.time is not None and (limit := seconds_of(args.time)) <= args.signal_before:
        raise UserError(
            f"--time={args.time} are {limit:.0f} s, but training ends {args.signal_before} s "
            "before the limit: raise --time or lower --signal-before"
        )


def check_number(args: Namespace, name: str) -> None:
    """Check that a whole number is not too small.

    Raises:
        UserError: If it is.
    """
    value, minimum = vars(args)[name.replace("-", "_")], MINIMUM.get(name, 1)
    if value is not None and value < minimum:
        raise UserError(f"--{name} must be at least {minimum}, got {value}")


def check_sbatch_options(lines: Sequence[str], gpus: int, *, worker: bool = False) -> bool:
    """Check the values of `--sbatch`.

    Args:
        lines: The values.
        gpus: GPUs per node, by `--gpus-per-node`.
        worker: Whether the job is an array of workers of a sweep.

    Returns:
        Whether they request the GPUs, for example by `--gres=gpu:a100:4`.

    Raises:
        UserError: If a value is no option, sets what another option sets, or requests GPUs for a
            job that trains on CPUs.
    """
    requests_gpus = False
    for line in lines:
        for name, value in _options(line):
            if worker and name in SHAPE:
                raise UserError(
                    f"--sbatch={line}: each worker of a sweep is one process, and --at-once is "
                    "their number"
                )
            if name in SET_BY:
                raise UserError(f"--sbatch={line}: give {SET_BY[name]} instead")
            requests_gpu = name in GENERIC_RESOURCES and re.search(r"\bgpu\b", value)
            if requests_gpu and not gpus:
                raise UserError(
                    f"--sbatch={line} requests GPUs, but the job would train on CPUs: "
                    "give --gpus-per-node=NUMBER"
                )
            requests_gpus |= bool(requests_gpu)
    return requests_gpus


def _options(line: str) -> Iterator[tuple[str, str]]:
    """Yield the names of options without dashes, and their values.

    Raises:
        UserError: If the text is no option.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UserError(f"--sbatch={line}: {error}") from error
    if not words or not re.match(r"-\w|--\w", words[0]):
        raise UserError(f"--sbatch must be an option such as --exclusive, got {line!r}")
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            yield name, value if equals else following
        elif word.startswith("-"):
            yield word[1:2], word[2:] or following


def gpus_of(text: str) -> tuple[int, str]:
    """Return number and type of the GPUs per node; the type may be empty.

    Raises:
        UserError: If the format is another one.

    Example:
        >>> gpus_of("4"), gpus_of("a100:2")
        ((4, ''), (2, 'a100'))
    """
    match = re.fullmatch(r"(?:([\w.-]+):)?(\d+)", text)
    if match is None:
        raise UserError(f"--gpus-per-node must be a number such as 4 or a100:4, got {text}")
    return int(match[2]), match[1] or ""


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
