"""Random numbers that go on where they were: what is dropped after a resume is what would have."""

import random
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.training.reports import gather_from_all_ranks

State = dict[str, Any]


class RNGStateCheckpoint(Callback):
    """Keep the state of all random generators of each process in checkpoints.

    It is taken up by as many processes as saved it; others begin with their seeds. What is saved in
    the midst of validation is the state at its beginning.
    """

    def __init__(self) -> None:
        self._found: State | None = None
        self._validating: State | None = None  # the state when validation began, while it lasts
        self._amid = False  # whether that was resumed, in the middle of an epoch

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the states of all processes, and whether the epoch was at its end."""
        everyone = gather_from_all_ranks(trainer, [self._validating or states()])
        over = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        found = {"processes": everyone, "epoch_over": over, "validating": bool(self._validating)}
        checkpoint["rng_states"] = found

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note the state of this process, if training goes on in as many of them."""
        found = checkpoint.get("rng_states", {"processes": []})
        if trainer.state.fn != TrainerFn.FITTING or len(found["processes"]) != trainer.world_size:
            return
        self._found = {**found, **found["processes"][trainer.global_rank]}

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the state up where it was saved in validation, and note it."""
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        if self._found and self._found.get("validating"):
            self._amid = not self._restore()["epoch_over"]
        self._validating = states()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the state when validation began."""
        self._validating = None
        if self._amid:  # the loader of a resumed epoch is yet to draw what it has drawn before
            self._found, self._amid = {**states(), "epoch_over": False}, False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the state before a loader of other people's draws the order of an epoch."""
        plain = not isinstance(getattr(trainer, "datamodule", None), LabDataModule)
        if plain and self._found and self._found["epoch_over"]:
            self._restore()

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Take the state up just before the first batch."""
        if self._found and self._restore()["epoch_over"]:
            # A loader draws a seed for its workers when an epoch begins; this one has before.
            torch.empty((), dtype=torch.int64).random_()

    def _restore(self) -> State:
        """Take the state up that was found; it is given and forgotten."""
        assert self._found is not None
        found, self._found = self._found, None
        restore(found)
        return found


def states() -> State:
    """The states of all generators, of types that `torch.load(weights_only=True)` reads."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002  what others draw from
    found: State = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": (name, np.asarray(keys).tolist(), *rest),
    }
    if torch.cuda.is_available():
        found["cuda"] = torch.cuda.get_rng_state()
    return found


def restore(found: State) -> None:
    """Set all generators."""
    torch.set_rng_state(found["torch"].cpu())
    version, numbers, gauss = found["python"]
    random.setstate((version, tuple(numbers), gauss))
    np.random.set_state(found["numpy"])  # noqa: NPY002
    if "cuda" in found and torch.cuda.is_available():
        torch.cuda.set_rng_state(found["cuda"].cpu())
