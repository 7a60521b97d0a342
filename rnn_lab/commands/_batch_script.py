"""The batch script of a SLURM job: requested resources and commands."""

import re
import shlex
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

from rnn_lab.commands._dry_run import Options, Plan
from rnn_lab.errors import UserError

INTERACTIVE_JOB_NAMES = ("bash", "interactive")  # Lightning ignores SLURM in jobs of these names
SETUP = ("# A command that fails ends the job.", "set -e")
SCRIPT = """\
#!/bin/bash
# Written by `rnn-lab {writer}`.

{directives}

# Paths are relative to the folder of submission.
cd {here} || exit 1
{setup}
# Use one thread per allocated core.
export OMP_NUM_THREADS=${{SLURM_CPUS_PER_TASK:-1}}

# Signals for the training processes must not terminate this shell.
trap : TERM USR1
{tasks}
# srun starts one process per task on all nodes and terminates all if one fails. A requeued job
# resumes from the last checkpoint of the run.
srun {srun} \\
  {python} -m rnn_lab {command} \\
  {options}
status=$?

# A status of 128 or more means that a process was killed, for example when out of memory. The job
# is then requeued, unless it was cancelled, was restarted {retries} times already, or was requeued
# by the training process on preemption. Status 1 and 2 are user errors, which would occur again.
job={job}
if [ "$status" -ge 128 ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {retries} ] &&
  scontrol show job "$job" 2>/dev/null | grep -q JobState=RUNNING; then
  echo "A process was killed (status $status), requeueing job $job."
  scontrol requeue "$job" >/dev/null 2>&1
  sleep 60  # SLURM terminates this script meanwhile
fi
exit "$status"
"""


def script(args: Namespace, plan: Plan) -> str:
    """Return the script of runs.

    Args:
        args: Options of `submit`.
        plan: The runs to train.

    Raises:
        UserError: If the value of a directive, or the name of the working folder, contains a line
            break or another control character, or a quotation mark.
    """
    own = ['"${options[@]}"'] if args.array else map(_quoted, plan.runs[0].options)
    array = f"0-{len(plan.runs) - 1}" if args.array else ""
    limit = f"%{args.at_once}" if array and args.at_once else ""
    tasks = _array_tasks([run.options for run in plan.runs]) if args.array else ""
    words = ["fit", *map(_quoted, plan.options), *own]
    return _script(args, "submit", plan.folder, words, array + limit, tasks)


def worker_script(args: Namespace, folder: Path, options: Options, workers: int) -> str:
    """Return the script of an array of workers, which train the trials of one sweep.

    Args:
        args: Options of the job.
        folder: Folder of the sweep.
        options: Options of `sweep` that each worker has.
        workers: Number of workers.

    Raises:
        UserError: As `script` does.
    """
    words = ["sweep", *map(_quoted, options)]
    return _script(args, "sweep", folder, words, f"0-{workers - 1}", "")


def _script(
    args: Namespace, writer: str, folder: Path, words: Sequence[str], array: str, tasks: str
) -> str:
    """Fill in the script.

    Args:
        args: Options of the job.
        writer: The command that writes it.
        folder: Folder of its log.
        words: The command that it runs, quoted.
        array: Indices of the tasks of an array; empty for a single job.
        tasks: Shell code that sets the options of each task.
    """
    _check_plain("the working folder", str(Path.cwd()))
    cores = f" --cpus-per-task={args.cpus_per_task}" if args.cpus_per_task else ""
    return SCRIPT.format(
        writer=writer,
        directives="\n".join(_directives(args, folder, array)),
        here=shlex.quote(str(Path.cwd())),
        setup="\n".join(["", *SETUP, *args.setup, "set +e", ""]) if args.setup else "",
        tasks=tasks,
        srun="--kill-on-bad-exit=1" + cores,
        python=shlex.quote(sys.executable),
        command=words[0],
        options=" \\\n  ".join(words[1:]),
        retries=args.retries,
        job='"${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"' if array else "$SLURM_JOB_ID",
    )


def _directives(args: Namespace, folder: Path, array: str) -> Iterator[str]:
    """Yield the #SBATCH lines, with comments."""
    name = folder.name
    yield _directive("job-name", f"rnn-{name}" if name in INTERACTIVE_JOB_NAMES else name)
    if array:
        yield _directive("array", array)
    yield _directive("nodes", args.nodes)
    yield _directive("ntasks-per-node", args.tasks_per_node)
    if args.gpus_per_node and not args.gpus_by_sbatch:
        gpu_type = [args.gpu_type] if args.gpu_type else []
        yield _directive("gpus-per-node", ":".join([*gpu_type, str(args.gpus_per_node)]))
    for option in ("cpus-per-task", "mem", "partition", "account", "qos", "time"):
        value = vars(args)[option.replace("-", "_")]
        if value is not None:
            yield _directive(option, value)
    yield f"# {args.signal_before} s before the time limit, training saves a checkpoint and exits."
    yield _directive("signal", f"USR1@{args.signal_before}")
    yield "# A requeued job appends to its log."
    yield _directive("requeue")
    yield _directive("open-mode", "append")
    path = str(folder.absolute()).replace("%", "%%")
    yield _directive("output", f"{path}/slurm-{'%A_%a' if array else '%j'}.log")
    for option in args.sbatch:
        yield f"#SBATCH {_check_plain('--sbatch', option, quotes=True)}"


def _directive(option: str, value: object = None) -> str:
    if value is None:
        return f"#SBATCH --{option}"
    _check_plain(f"#SBATCH --{option}", str(value))
    unquoted = re.fullmatch(r"[\w./:@%+=,\[\]-]*", str(value))
    return f"#SBATCH --{option}={value}" if unquoted else f'#SBATCH --{option}="{value}"'


def _check_plain(name: str, text: str, *, quotes: bool = False) -> str:
    """Return a text that stays on one line of the script.

    Raises:
        UserError: If it contains a control character, or a quotation mark unless `quotes` is set.
    """
    if not text.isprintable() or ('"' in text and not quotes):
        problem = "a quotation mark" if text.isprintable() else "a line break or control character"
        raise UserError(f"{name} must not contain {problem}, got {text!r}")
    return text


def _array_tasks(runs: list[Options]) -> str:
    """Return the shell code that selects the options of each task of an array."""
    cases = [f"  {n}) options=({' '.join(map(_quoted, run))}) ;;" for n, run in enumerate(runs)]
    lines = ["# Options of this task of the array.", "case $SLURM_ARRAY_TASK_ID in", *cases]
    return "\n".join(["", *lines, "esac", ""])


def _quoted(option: list[str]) -> str:
    return shlex.join(option)
