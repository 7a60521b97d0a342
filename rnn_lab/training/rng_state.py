"""Save and restore RNG states so that resumed runs are bit-exact."""

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
    """Save the state of all random generators of each process in checkpoints.

    The states are restored if the number of processes is unchanged; otherwise the generators start
    from their seeds. A checkpoint that is saved during validation has the states at its start.
    """

    def __init__(self) -> None:
        self._loaded: State | None = None  # from a checkpoint, until it is restored
        self._before_validation: State | None = None  # set during validation
        self._resumed_mid_epoch = False  # whether a validation in mid-epoch was resumed

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the states of all processes, and whether the epoch had ended."""
        checkpoint["rng_states"] = {
            "processes": gather_from_all_ranks(trainer, [self._before_validation or get_states()]),
            "epoch_ended": trainer.fit_loop.epoch_loop.batch_progress.is_last_batch,
            "validating": bool(self._before_validation),
        }

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the state of this process if training resumes with the same number of processes."""
        saved = checkpoint.get("rng_states", {"processes": []})
        if trainer.state.fn != TrainerFn.FITTING or len(saved["processes"]) != trainer.world_size:
            return
        self._loaded = {**saved, **saved["processes"][trainer.global_rank]}

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore a state that was saved during validation, and keep the current one."""
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        if self._loaded and self._loaded.get("validating"):
            self._resumed_mid_epoch = not self._restore()["epoch_ended"]
        self._before_validation = get_states()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Discard the state at the start of validation."""
        self._before_validation = None
        if self._resumed_mid_epoch:  # the loader of the epoch will draw its worker seed again
            self._loaded, self._resumed_mid_epoch = {**get_states(), "epoch_ended": False}, False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the state before a plain DataLoader draws the order of an epoch."""
        is_plain = not isinstance(getattr(trainer, "datamodule", None), LabDataModule)
        if is_plain and self._loaded and self._loaded["epoch_ended"]:
            self._restore()

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Restore the state just before the first batch."""
        if self._loaded and self._restore()["epoch_ended"]:
            # A loader draws a seed for its workers at each epoch start, here before the restore.
            torch.empty((), dtype=torch.int64).random_()

    def _restore(self) -> State:
        """Restore the loaded state, discard and return it."""
        assert self._loaded is not None
        state, self._loaded = self._loaded, None
        set_states(state)
        return state


def get_states() -> State:
    """Return the states of all generators, in types that `torch.load(weights_only=True)` reads."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002  # used by libraries
    states: State = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": (name, np.asarray(keys).tolist(), *rest),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def set_states(states: State) -> None:
    """Set the states of all generators, as `get_states` returns them."""
    torch.set_rng_state(states["torch"].cpu())
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    np.random.set_state(states["numpy"])  # noqa: NPY002  # as above
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"].cpu())
