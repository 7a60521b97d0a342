"""The SLURM job that a run is part of: which one, who else is in it, and how it comes back."""

import os
import re
import subprocess
from collections.abc import Callable

RUNNING = ("RUNNING", "SIGNALING")  # of a job that is told to make room, the latter
PATIENCE = 60.0  # seconds that a controller may take to answer


def job_id() -> str:
    """Number of this job, of an element of an array `ARRAY_INDEX`; empty outside SLURM."""
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array and index else os.environ.get("SLURM_JOB_ID", "")


def requeue(say: Callable[[str], None]) -> None:
    """Put this job back into the queue, unless it was cancelled or its time is over.

    SIGTERM says not why it came: a job that is to make room still runs, one that was cancelled does
    not. SLURM ends a requeued job at once, this process included: all else is to be done before.
    Does nothing outside SLURM.

    Args:
        say: Is told what is about to be done, or why it is not, in a few words.
    """
    job = job_id()
    if not job:
        return
    try:
        state = re.search(r"JobState=(\w+)", _scontrol("show", "job", "--oneliner", job))
        if state is None or state[1] not in RUNNING:
            say(f"SLURM job {job} is over and not requeued")
            return
        say(f"requeueing SLURM job {job}")
        _scontrol("requeue", job)
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip()
        say(f"SLURM job {job} could not be requeued: {reason}")


def _scontrol(*words: str) -> str:
    finished = subprocess.run(
        ["scontrol", *words], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    return finished.stdout
