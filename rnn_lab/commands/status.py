"""Show the runs below a folder, their progress and their best metric.

Nothing heavy is imported.
"""

import csv
import json
import os
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rnn_lab.commands._parsing import ConciseErrorsMixin
from rnn_lab.errors import UserError

STATE, SUBMISSION = "state.json", "submit.json"  # of the run itself, and of its job
EVIDENCE = {STATE, SUBMISSION, "metrics.csv", "checkpoints"}  # of a run in a folder
SHOWN = ("state", "reason", "step", "epoch", "max_epochs", "monitor", "best", "job", "heartbeat")
KINDS = {"state": str, "step": int, "epoch": int, "host": str, "pid": int, "began": float,
         "heartbeat": float, "job": str | None}  # fmt: skip
HEAD = ["run", "state", "step", "epoch", "best", "last heartbeat", "job", ""]
STARTS = 60.0  # seconds by which clocks may differ about when a process began
UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))

Facts = dict[str, Any]


class StatusParser(ConciseErrorsMixin, ArgumentParser):
    """A parser with errors of one line."""


def main(options: Sequence[str]) -> None:
    """Print a table of runs.

    Args:
        options: Words of the command line after `status`.

    Raises:
        UserError: If a folder is not there.
    """
    parser = StatusParser(
        prog="rnn-lab status",
        description="Show which runs there are and how they are doing, as they last wrote it: "
        "running, finished, preempted (by a signal), interrupted or failed. The queue of SLURM "
        "and the processes of this machine know better: queued, starting, killed, or lost (its job "
        "is gone). A run marked ? has not told.",
    )
    parser.add_argument("folders", nargs="*", metavar="FOLDER", help="where runs lie (runs)")
    parser.add_argument("--experiment", help="runs of this one alone")
    parser.add_argument("--json", action="store_true", help="print them for a machine")
    args = parser.parse_args(list(options))
    roots = [Path(folder) for folder in args.folders or ["runs"]]
    for root in roots:
        if args.folders and not root.is_dir():
            raise UserError(f"{root} is no folder")
    folders = sorted({run for root in roots for run in runs_below(root)})
    if args.experiment is not None:
        folders = [run for run in folders if run.absolute().parent.name == args.experiment]
    found = facts(folders)
    if args.json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
    else:
        sys.stdout.write(table(found))


def runs_below(folder: Path) -> Iterator[Path]:
    """The runs in a folder, or the folder itself if it is one."""
    for place, inner, files in os.walk(folder):
        if EVIDENCE & {*inner, *files}:
            inner.clear()
            yield Path(place)


def facts(folders: Iterable[Path]) -> list[Facts]:
    """What is known of each run: what it wrote, what its metrics say, what SLURM says."""
    read = [(folder, state_of(folder), _record(folder / SUBMISSION)) for folder in folders]
    jobs = queue(job for _, *records in read for job in jobs_of(*records))
    return [_facts(folder, record, submission, jobs) for folder, record, submission in read]


def _facts(folder: Path, record: Facts, submission: Facts, jobs: dict[str, str] | None) -> Facts:
    told = record or _from_metrics(folder / "metrics.csv")
    state = _state(record, submission, jobs)
    if state in ("submitted", "lost") and not record and (folder / STATE).exists():
        state = "?"  # it began, and what it wrote cannot be read
    job = next(iter(jobs_of(submission, record)), None)
    known = {name: told.get(name) for name in SHOWN}
    return {"run": str(folder), **known, "state": state, "job": job}


def _state(record: Facts, submission: Facts, jobs: dict[str, str] | None) -> str:
    """The state of a run; SLURM knows of jobs, this machine of its processes, the run of itself.

    Args:
        record: What the run wrote last; empty if nothing.
        submission: What was noted when a job of it was submitted; empty if none was.
        jobs: The states of jobs that SLURM knows; None if there is no SLURM.
    """
    written = record.get("state", "?")
    killed = written == "running" and _here(record) and not _alive(record)
    for job in jobs_of(submission, record):
        match (jobs or {}).get(job):
            case None:
                continue
            case "PENDING":
                return "queued"
            case "RUNNING" if killed or written in ("?", "preempted") or job != record.get("job"):
                return "starting"
        return written
    if killed:
        return "killed"
    if written == "running" and record["job"] and jobs is not None and not _here(record):
        return "lost"
    if not record and submission:
        return "submitted" if jobs is None else "lost"
    return written


def jobs_of(*records: Facts) -> list[str]:
    """The numbers of jobs that records name, each once."""
    named = (record.get("job") for record in records)
    return list(dict.fromkeys(job for job in named if isinstance(job, str)))


def queue(jobs: Iterable[str]) -> dict[str, str] | None:
    """Ask SLURM for the states of jobs, by their numbers; None if it does not answer.

    Those that are over are left out.
    """
    numbers = sorted(set(jobs))
    if not numbers:
        return {}
    words = ["squeue", "--noheader", "--array", "--format=%i %T", f"--jobs={','.join(numbers)}"]
    try:
        found = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if found.returncode:  # so it is for a single job that is over
        return {} if "Invalid job id" in found.stderr else None
    lines = [line.split() for line in found.stdout.splitlines()]
    return {line[0]: line[1] for line in lines if len(line) == 2}


def refuse_running(folder: Path) -> None:
    """Leave a run alone that is being trained or waits for it.

    Raises:
        UserError: If SLURM knows a job of it, or a process of this machine trains it.
    """
    record, submission = state_of(folder), _record(folder / SUBMISSION)
    numbers = jobs_of(submission, record)
    known = queue(numbers) or {}
    for job in numbers:
        if job in known:
            raise UserError(f"{folder} has job {job}, {known[job].lower()}: scancel {job} ends it")
    if record.get("state") == "running" and _here(record) and _alive(record):
        raise UserError(f"{folder} is being trained by process {record['pid']}")


def _here(record: Facts) -> bool:
    return record["host"] == os.uname().nodename


def _alive(record: Facts) -> bool:
    """Whether the process that wrote a record lives, and is no later one of the same number."""
    try:
        os.kill(record["pid"], 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    try:
        fields = Path(f"/proc/{record['pid']}/stat").read_text().rpartition(")")[2].split()
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if "btime" in line)
    except OSError:  # no Linux
        return True
    began = int(boot.split()[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return fields[0] != "Z" and began <= record["began"] + STARTS


def state_of(folder: Path) -> Facts:
    """What a run last wrote of itself; nothing if that is broken or not there."""
    record = _record(folder / STATE)
    sound = all(isinstance(record.get(name), kind) for name, kind in KINDS.items())
    return record if sound else {}


def _record(path: Path) -> Facts:
    """What a file says; nothing if it is broken or not there."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _from_metrics(path: Path) -> Facts:
    """What the metrics of a run tell that keeps no state."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        validated = [row for row in rows if row.get("val/loss")]
        told: Facts = {"step": int(rows[-1]["step"]), "heartbeat": path.stat().st_mtime}
        if validated:
            told |= {"epoch": int(validated[-1]["epoch"]) + 1, "monitor": "val/loss"}
            told["best"] = min(float(row["val/loss"]) for row in validated)
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return told


def table(found: Sequence[Facts]) -> str:
    """Lay runs out in columns."""
    if not found:
        return "no runs here\n"
    rows = [HEAD, *map(_row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:<{n}}" for cell, n in zip(row, widths, strict=True)) for row in rows]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _row(run: Facts) -> list[str]:
    epoch, last = run["epoch"], run["max_epochs"]
    known = isinstance(last, int) and last > 0 and epoch is not None
    best = run["best"]
    cells = [
        run["run"].removeprefix(f"runs{os.sep}"),
        run["state"],
        run["step"],
        f"{epoch}/{last}" if known else epoch,
        f"{run['monitor']} {best:.4g}" if isinstance(best, float) else None,
        _ago(run["heartbeat"]) if isinstance(run["heartbeat"], float) else None,
        run["job"],
        run["reason"] or "",
    ]
    return ["-" if cell is None else str(cell) for cell in cells]


def _ago(moment: float) -> str:
    seconds = max(0, int(time.time() - moment))
    size, unit = next((size, unit) for size, unit in UNITS if seconds >= size or size == 1)
    return f"{seconds // size} {unit} ago"
