"""Atomic checkpoint writing and choice of the checkpoint to resume from."""

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

import rnn_lab
from rnn_lab.core.checkpoint import FORMAT, Checkpoint, DamagedCheckpoint
from rnn_lab.errors import UserError
from rnn_lab.io.atomic import atomic_path

log = logging.getLogger(__name__)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write checkpoints atomically: to a temporary file that replaces the old one when complete.

    A crash or a full disk leaves the previous checkpoint unchanged.

    Args:
        checkpoint: A checkpoint that was opened before and will be loaded. It is referenced until
            then, so that its file is read once.
        specs: Returns the build specifications by `model` and `data`, for a plain `LightningModule`
            and its data, which do not add them to a checkpoint themselves.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | None = None,
        specs: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        super().__init__()
        self._checkpoint, self._specs = checkpoint, specs

    def load_checkpoint(self, path: str | os.PathLike[str], *_: Any, **__: Any) -> dict[str, Any]:
        """Read a checkpoint, see `Checkpoint.open`."""
        content = dict(Checkpoint.open(path).content)
        self._checkpoint = None
        return content

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            UserError: If the disk is full, or the folder is not writable.
        """
        if self._specs is not None:
            specs = self._specs()
            version = {"format": FORMAT, "version": rnn_lab.__version__}
            checkpoint["rnn_lab"] = {**version, **specs}
            # Lightning's own hyperparameters may hold objects that cannot be loaded.
            checkpoint["hyper_parameters"] = specs["model"]["init_args"]
            checkpoint["datamodule_hyper_parameters"] = specs["data"]["init_args"]
        target = Path(path)
        try:
            with atomic_path(target) as part, open(part, "wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:  # RuntimeError: torch's writer wraps it
            cause = error if isinstance(error, OSError) else error.__context__ or error
            if not isinstance(cause, Exception):  # interrupted while torch's writer was writing
                raise cause from None
            unchanged = "; the previous file is unchanged" if target.exists() else ""
            raise UserError(f"cannot write {target}: {cause}{unchanged}") from error


def find_resume_checkpoint(folder: Path) -> Checkpoint | None:
    """Open the checkpoint to resume a run from: `last.ckpt`, or `best.ckpt` if that is damaged.

    Args:
        folder: Folder of `last.ckpt` and `best.ckpt`.

    Returns:
        The opened checkpoint; None if the folder has no checkpoint.

    Raises:
        UserError: If all checkpoints are damaged.
    """
    paths = [path for path in (folder / "last.ckpt", folder / "best.ckpt") if path.exists()]
    for path in paths:
        with suppress(DamagedCheckpoint):
            checkpoint = Checkpoint.open(path)
            if path != paths[0]:
                log.warning("%s is damaged: resuming from %s", paths[0], path)
            return checkpoint
    if paths:
        names = " and ".join(str(path) for path in paths)
        raise UserError(f"damaged: {names}; set --overwrite=true to start a new run")
    return None
