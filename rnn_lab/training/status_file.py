"""Status file of a run, which `rnn-lab status` reads."""

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from rnn_lab.core.task import Monitored
from rnn_lab.errors import UserError
from rnn_lab.io.atomic import atomic_path
from rnn_lab.io.run_files import STATE
from rnn_lab.signals import Preempted
from rnn_lab.training import slurm
from rnn_lab.training.callbacks import BestCheckpoint, checkpoint_callback_of
from rnn_lab.training.epoch_number import epoch_number
from rnn_lab.training.reports import report_path, should_write, wandb_loggers


class StatusFile(Callback):
    """Write the status of training to `state.json` in the run folder.

    The field `state` is `running`, and at the end `finished`, `preempted` (by a signal),
    `interrupted` or `failed`; the field `reason` explains the last three. If the process is killed,
    the file still has the state `running` and the time of the last heartbeat. `monitor` and `best`
    are a metric of the best checkpoint; `test_metric` and `test` are the task's metric in a test.

    Args:
        every: Minimum number of seconds between two heartbeats within an epoch.

    Attributes:
        tested: Whether the run was tested after its last training step.
    """

    def __init__(self, every: float = 10.0) -> None:
        self.every = every
        self._process: dict[str, Any] = {}  # fields about this process; empty before training
        self._next_heartbeat = 0.0  # time.monotonic() of the next heartbeat
        self._epoch = 0  # number of the last epoch in training; 0 before training
        self._test: float | None = None  # the task's metric in the test
        self.tested = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        self._process = {
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "job": slurm.job_id() or None,
            "began": time.time(),
        }
        self.tested, self._test = _earlier_test(Path(trainer.default_root_dir, STATE))
        self._write(trainer, "running")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the number of an epoch that is resumed, which does not start again."""
        self._epoch = epoch_number(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch = epoch_number(trainer)
        self._write(trainer, "running")

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._epoch, self.tested, self._test = epoch_number(trainer), False, None
        self._write_if_due(trainer)

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if self._process:
            self._write_if_due(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write again after the next batch, when the checkpoint callback has updated the best."""
        self._next_heartbeat = 0.0

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end(trainer, "finished")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.tested, self._test = True, _test_score(trainer)
        if self._process:
            self._write(trainer, "finished")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        if not self._process:  # a test or validation without training
            return
        match exception:
            case Preempted():
                self._write(trainer, "preempted", signal.Signals(exception.signum).name)
            case KeyboardInterrupt():
                self._end(trainer, "interrupted")
            case _:
                self._end(trainer, "failed", _first_line(exception))

    def _end(self, trainer: Trainer, state: str, reason: str | None = None) -> None:
        """Write the last state; a preempted run continues, and its W&B run has ended already."""
        self._write(trainer, state, reason)
        for logger in wandb_loggers(trainer) if should_write(trainer) else ():
            logger.send_alert(state, reason)

    def _write_if_due(self, trainer: Trainer) -> None:
        if time.monotonic() >= self._next_heartbeat:
            self._write(trainer, "running")

    def _write(self, trainer: Trainer, state: str, reason: str | None = None) -> None:
        self._next_heartbeat = time.monotonic() + self.every
        if not should_write(trainer):
            return
        monitor, best = _best(trainer)
        status = {
            "state": state,
            "reason": reason,
            "step": trainer.global_step,
            "epoch": self._epoch or trainer.current_epoch,
            "max_epochs": trainer.max_epochs,
            "monitor": monitor,
            "best": best,
            "tested": self.tested,
            "test_metric": _test_metric(trainer),
            "test": self._test,
            **self._process,
            "heartbeat": time.time(),
        }
        text = json.dumps(status, indent=1) + "\n"
        # A status that cannot be written must not stop training.
        with suppress(OSError), atomic_path(report_path(trainer, STATE)) as part:
            part.write_text(text, encoding="utf-8")


def _best(trainer: Trainer) -> tuple[str | None, float | None]:
    """Return the metric that describes the best checkpoint, and its value there.

    This is the metric that selects it. If the epoch does, it is the metric of the task, and without
    validation the training loss.
    """
    callback = checkpoint_callback_of(trainer)
    if isinstance(callback, BestCheckpoint) and callback.monitor == "epoch":
        module = trainer.lightning_module
        monitors = [module.monitor] if isinstance(module, Monitored) else []
        for name in (*monitors, "train/loss"):
            if name in callback.best_metrics:
                return name, callback.best_metrics[name]
        return next(iter(monitors), None), None
    if not isinstance(callback, ModelCheckpoint):
        return None, None
    score = callback.best_model_score
    return callback.monitor, None if score is None else float(score)


def _test_metric(trainer: Trainer) -> str | None:
    """Return the test metric that corresponds to the metric of the task; None if there is none."""
    module = trainer.lightning_module
    if not isinstance(module, Monitored) or not module.monitor.startswith("val/"):
        return None
    return module.monitor.replace("val/", "test/", 1)


def _test_score(trainer: Trainer) -> float | None:
    value = trainer.callback_metrics.get(_test_metric(trainer) or "")
    return None if value is None else float(value)


def _earlier_test(path: Path) -> tuple[bool, float | None]:
    """Return whether an earlier process has tested the run, and the score of that test."""
    try:
        status = json.loads(path.read_text(encoding="utf-8"))
        return (True, status["test"]) if status["tested"] is True else (False, None)
    except (OSError, ValueError, LookupError, TypeError):  # none yet, or a damaged one
        return False, None


def _first_line(error: BaseException) -> str:
    line = next(iter(str(error).splitlines()), "")
    return line if isinstance(error, UserError) else f"{type(error).__name__}: {line}"
