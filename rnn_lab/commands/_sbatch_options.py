"""Options of sbatch that `--sbatch` passes on: those that `submit` must know are refused."""

import re
import shlex
from collections.abc import Iterator, Sequence

from rnn_lab.errors import UserError

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
GENERIC_RESOURCES = ("gres", "tres-per-node", "tres-per-job", "tres-per-task")


def check_sbatch_options(lines: Sequence[str], gpus: int) -> bool:
    """Check the values of `--sbatch`.

    Args:
        lines: The values.
        gpus: GPUs per node, by `--gpus-per-node`.

    Returns:
        Whether they request the GPUs, for example by `--gres=gpu:a100:4`.

    Raises:
        UserError: If a value is no option, sets what an option of `submit` sets, or requests GPUs
            for a job that trains on CPUs.
    """
    requests_gpus = False
    for line in lines:
        for name, value in _options(line):
            if name in SET_BY:
                raise UserError(f"--sbatch={line}: give {SET_BY[name]} to submit instead")
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
