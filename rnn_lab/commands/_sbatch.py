"""Write a batch script and submit it with sbatch."""

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from rnn_lab.errors import UserError


def require_sbatch(otherwise: str) -> None:
    """Check that this computer can submit jobs.

    Args:
        otherwise: Command that trains without SLURM.

    Raises:
        UserError: If sbatch is not installed.
    """
    if shutil.which("sbatch") is None:
        raise UserError(
            f"sbatch is not available: use --dry-run to show the script, or {otherwise} to train "
            "without SLURM"
        )


def check_syntax(script: str) -> None:
    """Check the syntax of the script if a shell is installed here.

    Raises:
        UserError: If it is not valid bash, for example because of `--setup`.
    """
    bash = shutil.which("bash")
    if bash is None:
        return
    check = subprocess.run([bash, "-n"], input=script, capture_output=True, text=True, check=False)
    if check.returncode:
        reason = check.stderr.strip().splitlines()[:1] or ["unknown"]
        raise UserError(f"the script is not valid bash, check --setup: {reason[0]}")


def write_script(path: Path, script: str) -> Path:
    """Write a script, and the folder that it is in.

    Raises:
        UserError: If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script, encoding="utf-8")
    except OSError as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)  # empty on a full disk
            path.parent.rmdir()
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    return path


def submit_script(path: Path) -> str:
    """Submit a script with sbatch, and return the job ID.

    Raises:
        UserError: If sbatch refuses it, for its reason.
    """
    inside_job = "SLURM_JOB_ID" in os.environ  # do not pass the settings of this job on
    environment = {
        name: value
        for name, value in os.environ.items()
        if not (inside_job and name.startswith("SLURM_")) or name == "SLURM_CONF"
    }
    finished = subprocess.run(
        ["sbatch", "--parsable", str(path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        path.unlink()
        with suppress(OSError):  # not empty if it contains a run
            path.parent.rmdir()
        raise UserError(finished.stderr or f"sbatch failed with status {finished.returncode}")
    return finished.stdout.strip().partition(";")[0]  # the cluster name may follow
