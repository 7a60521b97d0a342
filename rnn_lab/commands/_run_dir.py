"""Choose the run folder of `fit`, `validate` and `test`, and lock it before anything is written."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import _get_rank

from rnn_lab.errors import UserError
from rnn_lab.training.launch import run_of_agent, was_restarted
from rnn_lab.training.run_lock import lock_run_dir
from rnn_lab.training.runs import (
    RUN_DIR_ENV,
    lock_next_run_dir,
    named_run_dir,
    next_run_name,
    run_dir_of,
)

RESTART_WAIT = 120.0  # seconds for the lock of a killed process, which a file server may keep


def choose_run_dir(
    command: str, config: Any, model: str, data: str, locks: ExitStack | None
) -> Path:
    """Choose the run folder, and lock it in the main process.

    Args:
        command: `fit`, `validate` or `test`.
        config: Config of the command.
        model: Name of the model.
        data: Name of the data, the default of the experiment.
        locks: Releases the lock; None to choose a folder without locking it.

    Raises:
        UserError: If another process trains in the folder, or a name is not valid.
    """
    if int(os.environ.get("LOCAL_RANK", "0")) > 0 and RUN_DIR_ENV in os.environ:
        return Path(os.environ[RUN_DIR_ENV])
    named = config.name or config.trainer.default_root_dir or run_of_agent()
    if config.ckpt_path == "last" and not named:
        raise UserError("--ckpt_path=last requires --name of the run to resume")
    experiment = config.experiment or data
    folder = _given_folder(config) or named_run_dir(experiment, config.name, model)
    several = _get_rank() or int(os.environ.get("WORLD_SIZE", "1")) > 1
    if folder is None and several:
        raise UserError("several processes write to one run folder: give its --name")
    if folder is None and locks is None:
        folder = Path("runs", experiment, next_run_name(Path("runs", experiment), model))
    if locks is not None and not _get_rank() and (folder is None or command == "fit"):
        wait = RESTART_WAIT if was_restarted() else 0.0
        lock = lock_run_dir(folder, wait) if folder else lock_next_run_dir(experiment, model)
        locks.callback(lock.release)
        folder = lock.folder
    assert folder is not None
    if config.ensemble and not config.trainer.default_root_dir:
        folder = folder / "ensemble"  # keep the results of the single model
    os.environ[RUN_DIR_ENV] = str(folder)
    return folder


def _given_folder(config: Any) -> Path | None:
    """Return the folder given as a path, or that of the given checkpoint."""
    if config.trainer.default_root_dir:
        return Path(config.trainer.default_root_dir)
    in_run = config.ckpt_path not in (None, "last") and not config.name
    return run_dir_of(Path(config.ckpt_path)) if in_run else None
