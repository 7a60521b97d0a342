"""The run folder with the config, checkpoints, metrics and figures of a run."""

import os
import re
import shutil
from pathlib import Path

from rnn_lab.errors import UserError

RUN_DIR_ENV = "RNN_LAB_RUN"  # environment variable that passes the folder to child processes
MANIFEST = ".artifacts"  # file with the names of all files and folders of a run, one per line


def new_run_dir(experiment: str, name: str | None, model: str) -> Path:
    """Return the folder of a new run, `runs/EXPERIMENT/NAME`.

    Args:
        experiment: Name of the experiment, a group of runs to compare.
        name: Name of the run; None for the model name and the next free number, or, if a cluster
            starts several processes, the model name and the job id.
        model: Name of the model.

    Raises:
        UserError: If a name is not a valid folder name, for instance because it is a path.
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
    """Return the model name with the next free number in a folder."""
    number = 1
    while (parent / f"{model}-{number}").exists():
        number += 1
    return f"{model}-{number}"


def record_artifacts(folder: Path, *names: str) -> None:
    """Add files or folders directly below a run folder to its manifest.

    Do nothing if the folder was not prepared by `prepare_run_dir`.
    """
    manifest = folder / MANIFEST
    if manifest.exists():
        with open(manifest, "a", encoding="utf-8") as file:
            recorded = _recorded(folder)
            file.writelines(f"{name}\n" for name in names if name not in recorded)


def artifact_path(folder: Path, name: str) -> Path:
    """Return the path of a run's file; create its parent folder and record it in the manifest."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    record_artifacts(folder, Path(name).parts[0])
    return path


def _recorded(folder: Path) -> list[str]:
    """Return the names in the manifest that are directly below the folder."""
    manifest = folder / MANIFEST
    lines = manifest.read_text(encoding="utf-8").splitlines() if manifest.exists() else []
    return [name for name in lines if name not in ("", "..") and Path(name).name == name]


def _contains_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("checkpoints", "metrics.csv"))


def ensure_unused(folder: Path, started: bool = False) -> None:
    """Check that the folder of a new run does not contain another run.

    Args:
        folder: Folder of the new run.
        started: Whether the same run may have started there before; it is accepted if it ended
            before its first checkpoint.

    Raises:
        UserError: If the folder contains a run.
    """
    if started and not list(folder.glob("checkpoints/*.ckpt")):
        return
    if _contains_run(folder):
        raise UserError(
            f"{folder} already contains a run: choose another --name, resume it with "
            f"--ckpt_path={folder}/checkpoints/last.ckpt, or set --overwrite=true"
        )


def prepare_run_dir(folder: Path) -> None:
    """Create the folder of a new run, and remove the files of an earlier run in it.

    Raises:
        UserError: If the folder cannot be created, or contains a run without a manifest.
    """
    if _contains_run(folder) and not (folder / MANIFEST).exists():
        raise UserError(
            f"{folder} contains a run without {MANIFEST}: remove it, or choose another --name"
        )
    try:
        for path in (folder / name for name in _recorded(folder)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).write_text("", encoding="utf-8")
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"the run folder {folder} cannot be created: {reason}") from error


def run_dir_of(checkpoint: Path) -> Path | None:
    """Return the run folder that contains a checkpoint; None if there is none."""
    checkpoint_dir = checkpoint.resolve().parent
    run_dir = checkpoint_dir.parent
    is_run = checkpoint_dir.name == "checkpoints" and (run_dir / "config.yaml").exists()
    return run_dir if is_run else None
