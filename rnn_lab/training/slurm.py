"""The SLURM job of this process: its id, and requeueing."""

import os
import re
import subprocess
from collections.abc import Callable

from rnn_lab.signals import REQUEUED_BY_PARENT

RUNNING = ("RUNNING", "SIGNALING")  # a job that is being preempted is SIGNALING
SCONTROL_TIMEOUT = 60.0  # seconds


def job_id() -> str:
    """Return the id of this job, for an array task `ARRAYID_INDEX`; empty outside SLURM."""
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array and index else os.environ.get("SLURM_JOB_ID", "")


def requeue(log: Callable[[str], None]) -> None:
    """Requeue this job, unless it was cancelled or has ended.

    SIGTERM does not show its reason, but a preempted job is still running and a cancelled one is
    not. SLURM ends a requeued job immediately, including this process, so this must be the last
    step. Do nothing outside SLURM, or in one of several runs whose common parent does it.

    Args:
        log: Function that logs a message.
    """
    job = job_id()
    if not job or REQUEUED_BY_PARENT in os.environ:
        return
    try:
        state = re.search(r"JobState=(\w+)", _scontrol("show", "job", "--oneliner", job))
        if state is None or state[1] not in RUNNING:
            log(f"SLURM job {job} has ended and is not requeued")
            return
        log(f"requeueing SLURM job {job}")
        _scontrol("requeue", job)
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip()
        log(f"SLURM job {job} could not be requeued: {reason}")


def _scontrol(*args: str) -> str:
    finished = subprocess.run(
        ["scontrol", *args], capture_output=True, text=True, check=True, timeout=SCONTROL_TIMEOUT
    )
    return finished.stdout
