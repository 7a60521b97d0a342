"""Random numbers that go on where they were: what is dropped after a resume is what would have."""

import random
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from rnn_lab.training.reports import from_all_ranks

State = dict[str, Any]


class RandomState(Callback):
    """Keep the state of all random generators of each process in checkpoints.

    It is taken up by as many processes as saved it; others begin with their seeds.
    """

    def __init__(self) -> None:
        self._found: State | None = None

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the states of all processes, and whether the epoch was at its end."""
        everyone = from_all_ranks(trainer, [states()])
        over = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        checkpoint["random_states"] = {"processes": everyone, "epoch_over": over}

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note the state of this process, if training goes on in as many of them."""
        found = checkpoint.get("random_states", {"processes": []})
        if trainer.state.fn != TrainerFn.FITTING or len(found["processes"]) != trainer.world_size:
            return
        self._found = found["processes"][trainer.global_rank] | {"epoch_over": found["epoch_over"]}

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Take the state up just before the first batch."""
        if self._found is None:
            return
        found, self._found = self._found, None
        restore(found)
        if found["epoch_over"]:
            # A loader draws a seed for its workers when an epoch begins; this one has before.
            torch.empty((), dtype=torch.int64).random_()


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
