"""The batch script of a SLURM job: requested resources and commands."""

import re
import shlex
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from rnn_lab.commands._dry_run import Options, Plan
from rnn_lab.errors import UserError

INTERACTIVE_JOB_NAMES = ("bash", "interactive")  # Lightning ignores SLURM in jobs of these names
SETUP = ("# A command that fails ends the job.", "set -e")
SCRIPT = """\
#!/bin/bash
# Written by `rnn-lab submit`.

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
  {python} -m rnn_lab fit \\
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
    """Return the script.

    Args:
        args: Options of `submit`.
        plan: The runs to train.

    Raises:
        UserError: If the value of a directive, or the name of the working folder, contains a line
            break or another control character, or a quotation mark.
    """
    _check_plain("the working folder", str(Path.cwd()))
    own = ['"${options[@]}"'] if args.array else map(_quoted, plan.runs[0].options)
    cores = f" --cpus-per-task={args.cpus_per_task}" if args.cpus_per_task else ""
    return SCRIPT.format(
        directives="\n".join(_directives(args, plan)),
        here=shlex.quote(str(Path.cwd())),
        setup="\n".join(["", *SETUP, *args.setup, "set +e", ""]) if args.setup else "",
        tasks=_array_tasks([run.options for run in plan.runs]) if args.array else "",
        srun="--kill-on-bad-exit=1" + cores,
        python=shlex.quote(sys.executable),
        options=" \\\n  ".join([*map(_quoted, plan.options), *own]),
        retries=args.retries,
        job='"${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"' if args.array else "$SLURM_JOB_ID",
    )


def _directives(args: Namespace, plan: Plan) -> Iterator[str]:
    """Yield the #SBATCH lines, with comments."""
    name = plan.folder.name
    yield _directive("job-name", f"rnn-{name}" if name in INTERACTIVE_JOB_NAMES else name)
    if args.array:
        limit = f"%{args.at_once}" if args.at_once else ""
        yield _directive("array", f"0-{len(plan.runs) - 1}{limit}")
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
    folder = str(plan.folder.absolute()).replace("%", "%%")
    yield _directive("output", f"{folder}/slurm-{'%A_%a' if args.array else '%j'}.log")
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
