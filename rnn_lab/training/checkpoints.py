"""Checkpoints that are whole, or not there."""

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer

import rnn_lab
from rnn_lab.core.checkpoint import FORMAT, Checkpoint, DamagedCheckpoint
from rnn_lab.errors import UserError
from rnn_lab.io.atomic import atomic_path

log = logging.getLogger(__name__)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint beside its place, and move it there when all of it is on the disk.

    A crash or a full disk leaves the one before as it was.

    Args:
        opened: A checkpoint that was opened before and is to be loaded; it is held until then, so
            that its file is read once.
        specs: Class path and arguments of a `model` that is no `Task` and of its `data`, which do
            not state them by themselves.
    """

    def __init__(
        self, opened: Checkpoint | None = None, specs: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        self._opened, self._specs = opened, specs

    def load_checkpoint(self, path: str | os.PathLike[str], *_: Any, **__: Any) -> dict[str, Any]:
        """Read a checkpoint, see `Checkpoint.open`."""
        content = dict(Checkpoint.open(path).content)
        self._opened = None
        return content

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            UserError: If the disk is full, or the folder cannot be written to.
        """
        if self._specs is not None:
            version = {"format": FORMAT, "version": rnn_lab.__version__}
            checkpoint["rnn_lab"] = {**version, **self._specs}
            # Lightning's own notes may hold objects that are not read back.
            checkpoint["hyper_parameters"] = self._specs["model"]["init_args"]
            checkpoint["datamodule_hyper_parameters"] = self._specs["data"]["init_args"]
        place = Path(path)
        try:
            with atomic_path(place) as part, open(part, "wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:  # torch's writer says what went wrong in its words
            cause = error if isinstance(error, OSError) else error.__context__ or error
            left = f"; {place} is as it was before" if place.exists() else ""
            raise UserError(f"cannot write {place}: {cause}{left}") from error


class ResumeMidEpoch(Callback):
    """Let an epoch that was cut short, as by `max_steps` or a budget of time, be gone on with.

    Lightning notes it as over, and goes on with neither the rest of it nor a whole one.
    """

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note, of such an epoch, that its last step was just done, as in the midst of others."""
        loop = checkpoint.get("loops", {}).get("fit_loop", {})
        epochs, batches = loop.get("epoch_progress"), loop.get("epoch_loop.batch_progress")
        if not epochs or batches["is_last_batch"]:
            return
        if epochs["current"]["processed"] == epochs["current"]["started"] > 0:
            for span in ("total", "current"):
                epochs[span]["processed"] -= 1
                epochs[span]["completed"] = epochs[span]["processed"]
                batches[span]["completed"] = batches[span]["processed"] - 1


def find_resume_checkpoint(folder: Path) -> Checkpoint | None:
    """Choose the checkpoint from which a run goes on: the newest whole one.

    Args:
        folder: Where `last.ckpt` and `best.ckpt` lie.

    Returns:
        It, opened; None if there is no checkpoint at all.

    Raises:
        UserError: If there are some, and all are damaged.
    """
    kept = [path for path in (folder / "last.ckpt", folder / "best.ckpt") if path.exists()]
    for path in kept:
        with suppress(DamagedCheckpoint):
            found = Checkpoint.open(path)
            if path != kept[0]:
                log.warning("%s is damaged: going on from %s", kept[0], path)
            return found
    if kept:
        names = " and ".join(str(path) for path in kept)
        raise UserError(f"damaged: {names}; to start afresh give --overwrite=true")
    return None
