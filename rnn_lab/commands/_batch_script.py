"""The script that sbatch is given: what SLURM is asked for, and what is done in the job."""

import re
import shlex
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from rnn_lab.commands._dry_run import Options, Plan

NO_JOB_NAMES = ("bash", "interactive")  # of which Lightning thinks that somebody sits before them
SCRIPT = """\
#!/bin/bash
# Written by `rnn-lab submit`. SLURM reads the lines with #SBATCH, bash all that follow them.

{directives}

# Paths are meant from where it was submitted.
cd {here} || exit 1
{setup}
# A process computes with as many threads as SLURM gives it cores.
export OMP_NUM_THREADS=${{SLURM_CPUS_PER_TASK:-1}}

# A signal that is meant for training must not end this shell before it.
trap : TERM USR1
{elements}
# srun starts one process a task, on all nodes; if one of them fails, it ends the others. The Python
# is the one that submitted. Started again, the run goes on from its last checkpoint.
srun {srun} \\
  {python} -m rnn_lab fit \\
  {words}
status=$?

# A status of 128 or more says that a process was killed, as for want of memory. The job is then put
# back into the queue, unless it was cancelled, has been started again {retries} times already
# or was put back by training itself, as it does when it is told to leave. Mistakes, 1 and 2, would
# only come again.
job={job}
if [ "$status" -ge 128 ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {retries} ] &&
  scontrol show job "$job" 2>/dev/null | grep -q JobState=RUNNING; then
  scontrol requeue "$job" >/dev/null 2>&1
  sleep 60  # SLURM ends this script meanwhile
fi
exit "$status"
"""


def script(args: Namespace, plan: Plan) -> str:
    """Write the script.

    Args:
        args: Options of `submit`.
        plan: What is trained.
    """
    own = ['"${options[@]}"'] if args.array else map(_quoted, plan.runs[0].options)
    cores = f" --cpus-per-task={args.cpus_per_task}" if args.cpus_per_task else ""
    return SCRIPT.format(
        directives="\n".join(_directives(args, plan)),
        here=shlex.quote(str(Path.cwd())),
        setup="".join(f"{line}\n" for line in ["", *args.setup] if args.setup),
        elements=_elements([run.options for run in plan.runs]) if args.array else "",
        srun="--kill-on-bad-exit=1" + cores,
        python=shlex.quote(sys.executable),
        words=" \\\n  ".join([*map(_quoted, plan.options), *own]),
        retries=args.retries,
        job='"${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"' if args.array else "$SLURM_JOB_ID",
    )


def _directives(args: Namespace, plan: Plan) -> Iterator[str]:
    """What SLURM is asked for, and why where the option does not say it."""
    name = plan.folder.name
    yield _asked("job-name", f"rnn-{name}" if name in NO_JOB_NAMES else name)
    if args.array:
        most = f"%{args.at_once}" if args.at_once else ""
        yield _asked("array", f"0-{len(plan.runs) - 1}{most}")
    yield _asked("nodes", args.nodes)
    yield _asked("ntasks-per-node", args.tasks_per_node)
    yield from (_asked("gpus-per-node", n) for n in [args.gpus_per_node] if n)
    for option in ("cpus-per-task", "mem", "partition", "account", "qos", "time"):
        value = vars(args)[option.replace("-", "_")]
        if value is not None:
            yield _asked(option, value)
    yield f"# {args.signal_before} s before its time is over, training is told to save and leave."
    yield _asked("signal", f"USR1@{args.signal_before}")
    yield "# A job may be started again; its log then goes on below."
    yield _asked("requeue")
    yield _asked("open-mode", "append")
    folder = str(plan.folder.absolute()).replace("%", "%%")
    yield _asked("output", f"{folder}/slurm-{'%A_%a' if args.array else '%j'}.log")
    yield from (f"#SBATCH {option}" for option in args.sbatch)


def _asked(option: str, value: object = None) -> str:
    if value is None:
        return f"#SBATCH --{option}"
    plain = re.fullmatch(r"[\w./:@%+=,\[\]-]*", str(value))
    return f"#SBATCH --{option}={value}" if plain else f'#SBATCH --{option}="{value}"'


def _elements(runs: list[Options]) -> str:
    """What each element of an array is given."""
    cases = [f"  {n}) options=({' '.join(map(_quoted, run))}) ;;" for n, run in enumerate(runs)]
    lines = ["# What this run of the array has to itself.", "case $SLURM_ARRAY_TASK_ID in", *cases]
    return "\n".join(["", *lines, "esac", ""])


def _quoted(option: list[str]) -> str:
    return shlex.join(option)
