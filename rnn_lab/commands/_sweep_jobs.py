"""The workers of a sweep: a SLURM job array whose tasks train trials of one study."""

import json
import sys
import time
from argparse import Namespace
from collections import Counter

from rnn_lab.commands._batch_script import worker_script
from rnn_lab.commands._dry_run import Options, check_accelerator
from rnn_lab.commands._sbatch import check_syntax, submit_script, write_script
from rnn_lab.commands._sweep_plan import SweepPlan, report
from rnn_lab.commands._sweep_trials import is_complete, trial_rows
from rnn_lab.commands.status import Job, queue
from rnn_lab.errors import UserError
from rnn_lab.io.run_files import read_record
from rnn_lab.io.text_tables import aligned

SCRIPT, WORKERS = "sweep.sh", "workers.json"


def submit_workers(args: Namespace, plan: SweepPlan, options: Options) -> None:
    """Submit workers, unless those of an earlier submission are in the queue or all trials ended.

    Args:
        args: Options of the job.
        plan: The sweep.
        options: Options of `sweep` that each worker has.

    Raises:
        UserError: If the script cannot be written or submitted, another sweep has the name, or the
            queue cannot be read.
    """
    check_accelerator(args, plan.accelerator)
    number = min(args.at_once, plan.budget.trials)
    script = worker_script(args, plan.folder, options, number)
    check_syntax(script)
    if args.dry_run:
        sys.stdout.write(script)
        return
    study = plan.study
    job, tasks = _submitted(plan)
    if tasks:
        lines = aligned(trial_rows(study, study.trials()), left=2)
        sys.stdout.write("\n".join([*lines, _line_about(job, tasks)]) + "\n")
    elif is_complete(study, plan.budget):
        report(plan, sys.stdout)
    else:
        job = submit_script(write_script(plan.folder / SCRIPT, script))
        record = {"job": job, "submitted": int(time.time()), "workers": number}
        (plan.folder / WORKERS).write_text(json.dumps(record) + "\n", encoding="utf-8")
        workers = "1 worker" if number == 1 else f"{number} workers"
        lines = [f"job {job}: {workers} for {plan.folder}", f"  script: {plan.folder / SCRIPT}"]
        lines += [f"  log:    {plan.folder / f'slurm-{job}_*.log'}"]
        lines += ["the same command shows the trials, and the results at the end"]
        sys.stdout.write("\n".join(lines) + "\n")


def _submitted(plan: SweepPlan) -> tuple[str, dict[str, Job]]:
    """Return the job that was submitted last, with those of its tasks that are in the queue."""
    job = str(read_record(plan.folder / WORKERS).get("job", ""))
    tasks = queue([job] if job else [])
    if tasks is None:
        raise UserError(f"squeue failed: whether job {job} is training {plan.folder} is unknown")
    return job, tasks


def _line_about(job: str, tasks: dict[str, Job]) -> str:
    states = Counter(
        f"{task.state.lower()} ({task.reason})" if task.reason else task.state.lower()
        for task in tasks.values()
    )
    counts = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    return f"job {job}: workers {counts}; scancel {job} ends them"
