"""Show runs with their state, progress and best metric.

Only the standard library is imported, so that the command starts fast.

Examples:
    rnn-lab status
    rnn-lab status --experiment SyntheticReviews --json
"""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rnn_lab.commands._light_parser import LightParser
from rnn_lab.commands._status_table import table
from rnn_lab.errors import UserError
from rnn_lab.io.run_files import (
    METRICS,
    ROOT,
    STATE,
    SUBMISSION,
    Record,
    last_test_scores,
    read_record,
    runs_below,
)

COLUMNS = (
    *("state", "reason", "step", "epoch", "max_epochs", "monitor", "best", "test_metric", "test"),
    *("job", "heartbeat"),
)
TYPES = {"state": str, "step": int, "epoch": int, "host": str, "pid": int, "began": float,
         "heartbeat": float, "job": str | None}  # fmt: skip
RESUMED = ("?", "running", "preempted")  # states of a run that its requeued job resumes
START_TOLERANCE = 60.0  # seconds by which two clocks may differ on the start of a process


class Job(NamedTuple):
    """A job in the SLURM queue.

    Attributes:
        state: Its state, such as `PENDING`.
        reason: Why it waits, such as `Priority`; empty if it does not wait.
    """

    state: str
    reason: str = ""


def main(options: Sequence[str]) -> None:
    """Print a table of runs.

    Args:
        options: Command-line arguments after `status`.

    Raises:
        UserError: If a folder does not exist.
    """
    parser = LightParser(
        prog="rnn-lab status",
        description="Show runs with their state, progress, the metric of the best checkpoint and "
        "that of the last test. A run itself reports "
        "running, finished, preempted (by a signal), interrupted or failed. The SLURM queue and "
        "local processes add submitted, queued (with SLURM's reason), starting, killed, cancelled "
        "(before it started), and lost (running, but its job is gone). ? = state unknown.",
    )
    parser.add_argument(
        "folders", nargs="*", metavar="FOLDER", help="folders to search for runs (default: runs)"
    )
    parser.add_argument("--experiment", help="show only the runs of this experiment")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(list(options))
    roots = [Path(folder) for folder in args.folders or [ROOT]]
    for root in roots:
        if args.folders and not root.is_dir():
            raise UserError(f"{root} is not a folder")
    folders = sorted({run for root in roots for run in runs_below(root)})
    if args.experiment is not None:
        folders = [run for run in folders if run.absolute().parent.name == args.experiment]
    runs = describe(folders)
    if args.json:
        sys.stdout.write(json.dumps(runs, indent=1) + "\n")
    else:
        is_terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if is_terminal else None
        sys.stdout.write(table(runs, width))


def describe(folders: Iterable[Path]) -> list[Record]:
    """Describe each run from its state file, its metrics and the SLURM queue."""
    records = [(folder, state_of(folder), read_record(folder / SUBMISSION)) for folder in folders]
    jobs = queue(job for _, *files in records for job in jobs_of(*files))
    return [_describe(folder, record, submission, jobs) for folder, record, submission in records]


def _describe(
    folder: Path, record: Record, submission: Record, jobs: dict[str, Job] | None
) -> Record:
    written = record or _from_metrics(folder / METRICS)
    written = written | _later_test(folder, written.get("test_metric"))
    state, reason = _state(record, submission, jobs), written.get("reason")
    job_ids = jobs_of(submission, record)
    queued = [jobs[job] for job in job_ids if job in jobs] if jobs else []
    if state in ("submitted", "lost") and not record and (folder / STATE).exists():
        state = "?"  # it has started, but its state file is damaged
    elif queued:
        reason = queued[0].reason if state == "queued" else reason
    elif jobs is not None and isinstance(submission.get("log"), str):
        state, reason = _without_job(state, reason, folder, record, submission)
    shown = {name: written.get(name) for name in COLUMNS}
    job = next(iter(job_ids), None)
    return {"run": str(folder), **shown, "state": state, "reason": reason or None, "job": job}


def _without_job(
    state: str, reason: str | None, folder: Path, record: Record, submission: Record
) -> tuple[str, str | None]:
    """Return state and reason of a run whose submitted job has left the queue.

    The job may have ended before training, for example in a command of `--setup`. If it has no log,
    it was cancelled before it started.
    """
    log = Path(os.path.normpath(folder / submission["log"]))
    if record.get("job") == submission["job"]:
        return state, f"see {log}" if state == "lost" else reason
    if record and record["heartbeat"] >= submission["submitted"]:  # trained without that job
        return state, reason
    if not log.exists():
        reason = f"job {submission['job']} left the queue before it started"
        return state if record else "cancelled", reason
    reason = f"job {submission['job']} ended before training, see {log}"
    return state if record else "failed", reason


def _state(record: Record, submission: Record, jobs: dict[str, Job] | None) -> str:
    """Return the state of a run, from SLURM, local processes and what the run wrote.

    Args:
        record: The state file; empty if there is none.
        submission: The record of a submitted job; empty if there is none.
        jobs: Jobs in the SLURM queue; None without SLURM.
    """
    written = record.get("state", "?")
    killed = written == "running" and _on_this_host(record) and not _alive(record)
    for job in jobs_of(submission, record):
        match (jobs or {}).get(job):
            case None:
                continue
            case Job("PENDING") if job != record.get("job") or written in RESUMED:
                return "queued"
            case Job("RUNNING") if (
                killed or written in ("?", "preempted") or job != record.get("job")
            ):
                return "starting"
        return written
    if killed:
        return "killed"
    if written == "running" and record["job"] and jobs is not None and not _on_this_host(record):
        return "lost"
    if not record and submission:
        return "submitted" if jobs is None else "lost"
    return written


def jobs_of(*records: Record) -> list[str]:
    """Return the distinct job IDs in records."""
    job_ids = (record.get("job") for record in records)
    return list(dict.fromkeys(job for job in job_ids if isinstance(job, str)))


def queue(jobs: Iterable[str]) -> dict[str, Job] | None:
    """Return the jobs in the SLURM queue by job ID; None if squeue is not available.

    Finished jobs are omitted.
    """
    job_ids = sorted(set(jobs))
    if not job_ids:
        return {}
    jobs_option = f"--jobs={','.join(job_ids)}"
    command = ["squeue", "--noheader", "--array", "--format=%i %T %r", jobs_option]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if result.returncode:  # squeue fails for a single finished job
        return {} if "Invalid job id" in result.stderr else None
    lines = [
        [*line.split(maxsplit=2), "", ""] for line in result.stdout.splitlines() if line.strip()
    ]
    return {job: Job(state, "" if reason == "None" else reason) for job, state, reason, *_ in lines}


def check_not_running(folder: Path) -> None:
    """Check that a run is neither being trained nor queued.

    Raises:
        UserError: If it has a job in the SLURM queue, or a local process trains it.
    """
    record, submission = state_of(folder), read_record(folder / SUBMISSION)
    job_ids = jobs_of(submission, record)
    queued = queue(job_ids) or {}
    for job in job_ids:
        if job in queued:
            state = queued[job].state.lower()
            raise UserError(f"{folder} has job {job} ({state}): cancel it with scancel {job}")
    if record.get("state") == "running" and _on_this_host(record) and _alive(record):
        raise UserError(f"{folder} is being trained by process {record['pid']}")


def _on_this_host(record: Record) -> bool:
    return record["host"] == os.uname().nodename


def _alive(record: Record) -> bool:
    """Return whether the process that wrote a record is alive, and not a later one with its PID."""
    try:
        os.kill(record["pid"], 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    try:
        fields = Path(f"/proc/{record['pid']}/stat").read_text().rpartition(")")[2].split()
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if "btime" in line)
    except OSError:  # not Linux
        return True
    start_time = int(boot.split()[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return fields[0] != "Z" and start_time <= record["began"] + START_TOLERANCE


def state_of(folder: Path) -> Record:
    """Read the state file of a run; empty if it is missing or damaged."""
    record = read_record(folder / STATE)
    valid = all(isinstance(record.get(name), kind) for name, kind in TYPES.items())
    return record if valid else {}


def _from_metrics(path: Path) -> Record:
    """Read the progress of a run without state file from its metrics."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        validated = [row for row in rows if row.get("val/loss")]
        record: Record = {"step": int(rows[-1]["step"]), "heartbeat": path.stat().st_mtime}
        if validated:
            record |= {"epoch": int(validated[-1]["epoch"]), "monitor": "val/loss"}
            record["best"] = min(float(row["val/loss"]) for row in validated)
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return record


def _later_test(folder: Path, metric: str | None) -> Record:
    """Return the score of the last test of a run, also of one by `rnn-lab test`."""
    scores = last_test_scores(folder)
    return {"test": scores[str(metric)]} if metric in scores else {}
