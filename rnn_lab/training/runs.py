"""The folder of a run: one place for its config, checkpoints, metrics and pictures."""

import os
import re
import shutil
from pathlib import Path

from rnn_lab.errors import UserError

CHOSEN = "RNN_LAB_RUN"  # tells processes that this one starts which folder was chosen
TRACES = (
    "config.yaml", "config.test.yaml", "config.validate.yaml", "checkpoints", "metrics.csv",
    "state.json", "metrics.test.csv", "metrics.validate.csv", "curves.png", "confusion_matrix.png",
    "mistakes.csv", "translations.csv", "translations.test.jsonl", "scores.json",
    "attention", "forecasts.png", "forecasts.valid.png", "errors_by_step.png", "residuals.png",
    "backtest", "wandb",
)  # fmt: skip


def run_folder(experiment: str, name: str | None, model: str) -> Path:
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
    return parent / next_name(parent, model)


def next_name(parent: Path, model: str) -> str:
    """The model's name and the next free number in a folder."""
    number = 1
    while (parent / f"{model}-{number}").exists():
        number += 1
    return f"{model}-{number}"


def _traces(folder: Path) -> list[Path]:
    return [folder / name for name in TRACES if (folder / name).exists()]


def refuse_used(folder: Path, started: bool = False) -> None:
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
    if any((folder / name).exists() for name in ("checkpoints", "metrics.csv")):
        raise UserError(
            f"{folder} holds a run already: give another --name, go on from its checkpoint with "
            f"--ckpt_path={folder}/checkpoints/last.ckpt, or give --overwrite=true"
        )


def claim(folder: Path) -> None:
    """Make the folder of a new run; what an earlier run left in it is removed.

    Raises:
        UserError: If it cannot be made.
    """
    try:
        for trace in _traces(folder):
            shutil.rmtree(trace) if trace.is_dir() else trace.unlink()
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the run folder {folder} cannot be made: {error.strerror}") from error


def folder_of(checkpoint: Path) -> Path | None:
    """The run that a checkpoint lies in, if it lies in one."""
    run = checkpoint.resolve().parent.parent
    inside = checkpoint.resolve().parent.name == "checkpoints" and (run / "config.yaml").exists()
    return run if inside else None
