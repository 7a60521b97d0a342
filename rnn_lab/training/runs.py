"""The run folder with the config, checkpoints, metrics and figures of a run."""

import itertools
import re
import shutil
from contextlib import suppress
from pathlib import Path

from rnn_lab.errors import UserError
from rnn_lab.io.run_files import CHECKPOINTS, METRICS, SUBMISSION
from rnn_lab.training.launch import launch_id
from rnn_lab.training.run_lock import RunInUse, RunLock

RUN_DIR_ENV = "RNN_LAB_RUN"  # environment variable that passes the folder to child processes
MANIFEST = ".artifacts"  # file with the names of all files and folders of a run, one per line


def named_run_dir(experiment: str, name: str | None, model: str) -> Path | None:
    """Return the folder of a new run, `runs/EXPERIMENT/NAME`.

    Args:
        experiment: Name of the experiment, a group of runs to compare.
        name: Name of the run. If it is None and a launcher started several processes, or a W&B
            agent the run, the name is the model name and the id of the launch.
        model: Name of the model.

    Returns:
        The folder; None if the run has no name, see `lock_next_run_dir`.

    Raises:
        UserError: If a name is not a valid folder name, for instance because it is a path.
    """
    for option, value in (("experiment", experiment), ("name", name)):
        if value is not None and not re.fullmatch(r"\w[\w.+=-]*", value):
            raise UserError(f"--{option} must be a plain name for a folder, got {value!r}")
    launch = launch_id()
    name = name or (f"{model}-{launch}" if launch else None)
    return Path("runs", experiment, name) if name else None


def next_run_name(parent: Path, model: str) -> str:
    """Return the model name with the next free number in a folder."""
    names = (f"{model}-{number}" for number in itertools.count(1))
    return next(name for name in names if not (parent / name).exists())


def create_next_run_dir(parent: Path, model: str) -> RunLock:
    """Create and lock a new folder with the model name and the next free number."""
    while True:
        with suppress(FileExistsError):  # another process took the number meanwhile
            return RunLock(parent / next_run_name(parent, model), new=True)


def lock_next_run_dir(experiment: str, model: str) -> RunLock:
    """Create and lock the folder of a run without a name: the model name and the next free number.

    The number of a run that ended before its first results is free again.
    """
    for number in itertools.count(1):
        folder = Path("runs", experiment, f"{model}-{number}")
        with suppress(FileExistsError):
            return RunLock(folder, new=True)
        if not _is_abandoned(folder):
            continue
        with suppress(RunInUse):
            lock = RunLock(folder)
            if lock.effective and _is_abandoned(folder):
                return lock
            lock.release()
    raise AssertionError  # the loop is infinite


def _is_abandoned(folder: Path) -> bool:
    """Return whether a run was started here and ended before its first results."""
    submitted = (folder / SUBMISSION).exists()  # its job may be queued
    return (folder / MANIFEST).exists() and not submitted and not _contains_run(folder)


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
    return any((folder / name).exists() for name in (CHECKPOINTS, METRICS))


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
