"""The folder of a run: one place for its config, checkpoints, metrics and pictures."""

import os
import re
import shutil
from pathlib import Path

from rnn_lab.errors import UserError

RUN_DIR_ENV = "RNN_LAB_RUN"  # tells processes that this one starts which folder was chosen
MANIFEST = ".artifacts"  # names of what a run has written into its folder, a line each


def new_run_dir(experiment: str, name: str | None, model: str) -> Path:
    """Choose the folder of a new run below `runs`.

    Args:
        experiment: What runs are compared in.
        name: Name of the run; None makes one of the model and the next free number, or, where a
            cluster starts several processes, of the model and the job.
        model: Name of the model.

    Raises:
        UserError: If a name is not a plain one, such as a path.
    """
    for option, value in (("experiment", experiment), ("name", name)):
        if value is not None and not re.fullmatch(r"\w[\w.+=-]*", value):
            raise UserError(f"--{option} must be a plain name for a folder, got {value!r}")
    parent = Path("runs", experiment)
    if name is not None:
        return parent / name
    job = os.environ.get("SLURM_JOB_ID") or os.environ.get("TORCHELASTIC_RUN_ID")
    if job:
        return parent / f"{model}-{job}"
    return parent / next_run_name(parent, model)


def next_run_name(parent: Path, model: str) -> str:
    """The model's name and the next free number in a folder."""
    number = 1
    while (parent / f"{model}-{number}").exists():
        number += 1
    return f"{model}-{number}"


def record_artifacts(folder: Path, *names: str) -> None:
    """Note in a run's folder that the run writes these files or folders directly below it.

    A folder that no run has claimed is left alone.
    """
    manifest = folder / MANIFEST
    if manifest.exists():
        with open(manifest, "a", encoding="utf-8") as file:
            file.writelines(f"{name}\n" for name in names if name not in _owned(folder))


def artifact_path(folder: Path, name: str) -> Path:
    """Return the path of a file that a run writes; its folder is made and the run owns it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    record_artifacts(folder, Path(name).parts[0])
    return path


def _owned(folder: Path) -> list[str]:
    """Names in the manifest, of entries directly below the folder alone."""
    manifest = folder / MANIFEST
    lines = manifest.read_text(encoding="utf-8").splitlines() if manifest.exists() else []
    return [name for name in lines if name not in ("", "..") and Path(name).name == name]


def _holds_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("checkpoints", "metrics.csv"))


def ensure_unused(folder: Path, started: bool = False) -> None:
    """Leave the runs of the past alone.

    Args:
        folder: Where a run is to lie.
        started: Whether that run may have been started there before, and ended before it saved
            anything.

    Raises:
        UserError: If a run lies in the folder.
    """
    if started and not list(folder.glob("checkpoints/*.ckpt")):
        return
    if _holds_run(folder):
        raise UserError(
            f"{folder} holds a run already: give another --name, go on from its checkpoint with "
            f"--ckpt_path={folder}/checkpoints/last.ckpt, or give --overwrite=true"
        )


def prepare_run_dir(folder: Path) -> None:
    """Make the folder of a new run; what an earlier run wrote into it is removed.

    Raises:
        UserError: If it cannot be made, or holds a run that does not say what it wrote.
    """
    if _holds_run(folder) and not (folder / MANIFEST).exists():
        raise UserError(f"{folder} holds a run without {MANIFEST}: remove it, or give another name")
    try:
        for path in (folder / name for name in _owned(folder)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).write_text("", encoding="utf-8")
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"the run folder {folder} cannot be made: {reason}") from error


def run_dir_of(checkpoint: Path) -> Path | None:
    """The run that a checkpoint lies in, if it lies in one."""
    run = checkpoint.resolve().parent.parent
    inside = checkpoint.resolve().parent.name == "checkpoints" and (run / "config.yaml").exists()
    return run if inside else None
