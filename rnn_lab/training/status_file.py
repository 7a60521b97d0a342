"""How a run is doing, for those who look from outside."""

import json
import os
import signal
import time
from contextlib import suppress
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from rnn_lab.errors import UserError
from rnn_lab.io.atomic import atomic_path
from rnn_lab.signals import Preempted
from rnn_lab.training import slurm
from rnn_lab.training.reports import report_path, should_write

STATE_FILE = "state.json"


class StatusFile(Callback):
    """Keep `state.json` in the run's folder, which `rnn-lab status` reads.

    Its `state` is `running`, and in the end `finished`, `preempted` (by a signal),
    `interrupted` or `failed`, the last three with a `reason`. A process that was killed leaves
    `running`, with the time of its last sign.

    Args:
        every: Least seconds between two signs within an epoch.
    """

    def __init__(self, every: float = 10.0) -> None:
        self.every = every
        self._facts: dict[str, Any] = {}  # of this process; empty until it trains
        self._next = 0.0  # when the next sign is due

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        place_of_work = {"host": os.uname().nodename, "pid": os.getpid()}
        self._facts = {**place_of_work, "job": slurm.job_id() or None, "began": time.time()}
        self._sign(trainer, "running")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._sign(trainer, "running")

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._sign_if_due(trainer)

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if self._facts:
            self._sign_if_due(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Have the next batch tell what came of it: who keeps the best is asked after us."""
        self._next = 0.0

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._sign(trainer, "finished")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        if not self._facts:  # a test of its own
            return
        match exception:
            case Preempted():
                self._sign(trainer, "preempted", signal.Signals(exception.signum).name)
            case KeyboardInterrupt():
                self._sign(trainer, "interrupted")
            case _:
                self._sign(trainer, "failed", _first_line(exception))

    def _sign_if_due(self, trainer: Trainer) -> None:
        if time.monotonic() >= self._next:
            self._sign(trainer, "running")

    def _sign(self, trainer: Trainer, state: str, reason: str | None = None) -> None:
        self._next = time.monotonic() + self.every
        if not should_write(trainer):
            return
        keeper = trainer.checkpoint_callback
        score = getattr(keeper, "best_model_score", None)
        told = {
            "state": state,
            "reason": reason,
            "step": trainer.global_step,
            "epoch": trainer.fit_loop.epoch_progress.current.completed,
            "max_epochs": trainer.max_epochs,
            "monitor": getattr(keeper, "monitor", None),
            "best": None if score is None else float(score),
            **self._facts,
            "heartbeat": time.time(),
        }
        text = json.dumps(told, indent=1) + "\n"
        # A run is worth more than the news of it.
        with suppress(OSError), atomic_path(report_path(trainer, STATE_FILE)) as part:
            part.write_text(text, encoding="utf-8")


def _first_line(error: BaseException) -> str:
    said = next(iter(str(error).splitlines()), "")
    return said if isinstance(error, UserError) else f"{type(error).__name__}: {said}"
