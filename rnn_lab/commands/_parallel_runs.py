"""Train several runs in processes of their own, some at a time, and show their progress."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from rnn_lab.commands._parsing import print_error
from rnn_lab.commands._status_table import table
from rnn_lab.commands.status import describe
from rnn_lab.signals import REQUEUED_BY_PARENT, received
from rnn_lab.signals import SIGNALS as PREEMPTION_SIGNALS

LOG = "fit.log"
THREADS = "OMP_NUM_THREADS"
# Variables of a SLURM job that its runs have in common.
JOB = ("SLURM_CONF", "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID")
INTERVAL = 0.2  # seconds between two looks at the processes
REDRAW = 1.0  # seconds between two tables
PR_SET_PDEATHSIG = 1  # of prctl(2)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@dataclass
class LocalRun:
    """A run that a process of this machine trains.

    Attributes:
        folder: Its folder.
        command: The command that trains it.
        finished: Whether it needs no training.
        note: What is to be said about it before.
        process: The process, once it has started.
    """

    folder: Path
    command: list[str]
    finished: bool
    note: str
    process: subprocess.Popen[bytes] | None = field(default=None, compare=False)

    @property
    def log(self) -> Path:
        """The file with all output of its process."""
        return self.folder / LOG


def train_all(runs: Sequence[LocalRun], jobs: int) -> int:
    """Train runs in processes, and wait until all have ended; their output is in `fit.log`.

    A signal is passed on to the processes, which then save a checkpoint and end. A SLURM job that
    is preempted is requeued after all of them, as the last step.

    Args:
        runs: The runs.
        jobs: Number of processes at a time.

    Returns:
        0, 1 if a run failed, or 128 + signal number.
    """
    waiting = [run for run in runs if not run.finished]
    running: list[LocalRun] = []
    view = _View(runs)
    environment = shared_environment(jobs)
    with forwarded(running) as signums:
        while running or (waiting and not signums):
            while waiting and len(running) < jobs and not signums:
                run = waiting.pop(0)
                start(run, environment)
                running.append(run)
            for run in [run for run in running if run.process and run.process.poll() is not None]:
                running.remove(run)
            view.show()
            time.sleep(INTERVAL)
    view.show(last=True)
    if signums:
        print_error("interrupted: the same command resumes")
        requeue_if_preempted(128 + signums[0])
        return 128 + signums[0]
    failed = [run for run in runs if run.process and run.process.returncode]
    for run in failed:
        print_error(f"{run.folder} failed: {reason_of(run)}, see {run.log}")
    return int(bool(failed))


def start(run: LocalRun, environment: dict[str, str]) -> None:
    """Start the process of a run, whose output is appended to its log.

    If this process is killed, the other one receives SIGTERM (on Linux).
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    with open(run.log, "ab") as log:
        # In a session of its own it receives Ctrl-C from this process alone.
        run.process = subprocess.Popen(
            run.command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def shared_environment(jobs: int) -> dict[str, str]:
    """Return the environment of each of several runs.

    They share the cores, unless the user has set the number of threads. Within a SLURM job they
    know its id, but are none of its tasks, and leave requeueing to this process.
    """
    threads = max(1, (os.cpu_count() or 1) // jobs)
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name in JOB or not name.startswith("SLURM_")
    }
    return {THREADS: str(threads), **inherited, REQUEUED_BY_PARENT: "1"}


def requeue_if_preempted(status: int) -> None:
    """Requeue the SLURM job of this process, as its last step, if it ended by a signal to stop.

    Args:
        status: Exit status of the command.
    """
    if status - 128 in PREEMPTION_SIGNALS:
        from rnn_lab.training import slurm

        slurm.requeue(print_error)


@contextmanager
def forwarded(running: Sequence[LocalRun]) -> Iterator[list[int]]:
    """Pass signals on to running processes; yield the list of those received, also before."""
    signums: list[int] = []

    def forward(signum: int, frame: FrameType | None) -> None:
        signums.append(signum)
        for run in running:
            if run.process and run.process.poll() is None:
                run.process.send_signal(signum)

    previous = {signum: signal.signal(signum, forward) for signum in SIGNALS}
    signums += [signum for signum in [received()] if signum]
    try:
        yield signums
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def reason_of(run: LocalRun) -> str:
    """Return the last error line in the log of a run, or its exit status."""
    lines = run.log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line for line in lines if line.startswith("rnn-lab: ")]
    status = run.process.returncode if run.process else 0
    return errors[-1].removeprefix("rnn-lab: ") if errors else f"exit status {status}"


class _View:
    """The table of `rnn-lab status`, drawn again on a terminal, else a line for each change."""

    def __init__(self, runs: Sequence[LocalRun]) -> None:
        self._runs = runs
        self._lines = 0  # of the table that is on the terminal
        self._next = 0.0
        self._states: dict[str, str] = {}

    def show(self, last: bool = False) -> None:
        """Show the states if it is time to."""
        if time.monotonic() < self._next and not last:
            return
        self._next = time.monotonic() + REDRAW
        records = describe(run.folder for run in self._runs)
        for record, run in zip(records, self._runs, strict=True):
            started = run.process is not None or run.finished
            if record["state"] == "?" or not started:
                record["state"] = "starting" if started else "waiting"
        if sys.stderr.isatty():
            width = os.get_terminal_size(sys.stderr.fileno()).columns
            text = table(records, width)
            sys.stderr.write(f"\x1b[{self._lines}F\x1b[J" * bool(self._lines) + text)
            self._lines = text.count("\n")
        else:
            for record in records:
                if self._states.get(record["run"]) != record["state"]:
                    sys.stderr.write(f"{record['run']}: {record['state']}\n")
                self._states[record["run"]] = record["state"]
            if last:
                sys.stderr.write(table(records))
        sys.stderr.flush()
