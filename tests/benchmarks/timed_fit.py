"""Trainings behind the tables of the site: resumed if interrupted, timed by the processor."""

import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def fit(
    options: Sequence[str], experiment: str, name: str, seed: int, *, resume: bool = True
) -> float:
    """Train and test by `rnn-lab fit`, in the folder `runs/EXPERIMENT/NAME`.

    Args:
        options: Options of the command.
        experiment: Name of the experiment.
        name: Name of the run.
        seed: Seed of the run.
        resume: If True, resume an interrupted run; if False, start it again.

    Returns:
        Minutes of processor time of all attempts together: on one thread, the time that they take
        on an idle machine.

    Raises:
        subprocess.CalledProcessError: If the command fails.
    """
    run = Path("runs", experiment, name)
    record = Path("runs", experiment, f"{name}.minutes")
    if not resume:
        shutil.rmtree(run, ignore_errors=True)
        record.unlink(missing_ok=True)
    command = [
        *(sys.executable, "-m", "rnn_lab", "fit", *options, "--test=true", "--ckpt_path=last"),
        *(f"--seed_everything={seed}", f"--experiment={experiment}", f"--name={name}"),
    ]
    spent = float(record.read_text()) if record.exists() else 0.0
    before = _seconds()
    try:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    finally:
        spent += (_seconds() - before) / 60
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(str(spent))
    return spent


def _seconds() -> float:
    """Return the processor time of processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
