"""The SLURM job that a run is part of: which one, who else is in it, and how it comes back."""

import os
import re
import subprocess

RUNNING = ("RUNNING", "SIGNALING")  # of a job that is told to make room, the latter
PATIENCE = 60.0  # seconds that a controller may take to answer


def job_id() -> str:
    """Number of this job, of an element of an array `ARRAY_INDEX`; empty outside SLURM."""
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array and index else os.environ.get("SLURM_JOB_ID", "")


def requeue() -> str:
    """Put this job back into the queue, unless it was cancelled or its time is over.

    SIGTERM says not why it came: a job that is to make room still runs, one that was cancelled does
    not.

    Returns:
        What came of it, a few words; empty outside SLURM.
    """
    job = job_id()
    if not job:
        return ""
    try:
        state = re.search(r"JobState=(\w+)", _scontrol("show", "job", "--oneliner", job))
        if state is None or state[1] not in RUNNING:
            return f"SLURM job {job} is over and not requeued"
        _scontrol("requeue", job)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip()
        return f"SLURM job {job} could not be requeued: {said}"
    return f"SLURM job {job} is requeued"


def _scontrol(*words: str) -> str:
    finished = subprocess.run(
        ["scontrol", *words], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    return finished.stdout
