"""Callbacks for checkpoints, early stopping and monitoring."""

import logging
import math
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, ModelCheckpoint
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from rnn_lab.core.step_log import log_step
from rnn_lab.core.task import Monitored
from rnn_lab.errors import UserError
from rnn_lab.io.run_files import NOT_FINITE
from rnn_lab.training.completion import Limit
from rnn_lab.training.epoch_number import epoch_number
from rnn_lab.training.mid_epoch import step_plateau_schedules
from rnn_lab.training.monitor import Mode, mode_of

log = logging.getLogger(__name__)


def validation_loss(trainer: Trainer) -> float:
    """Return the last validation loss, by which ties of the monitored metric are broken.

    It is infinite if it is not logged or NaN; a later tie is then no improvement.
    """
    loss = float(trainer.callback_metrics.get("val/loss", math.inf))
    return math.inf if math.isnan(loss) else loss


class BestCheckpoint(ModelCheckpoint):
    """Save two checkpoints: `best.ckpt` by a validation metric, and `last.ckpt` every epoch.

    Of equal values of the metric, the one with the lowest validation loss is the best. Without
    validation (`limit_val_batches=0`), and for a module that is not `Monitored`, the last epoch is
    the best.

    Args:
        monitor: Metric to monitor; None for that of the task.
        mode: Whether lower (`min`) or higher (`max`) values are better; None to determine it, see
            `rnn_lab.training.monitor.mode_of`.
        dirpath: Folder of the checkpoints; None for `checkpoints` in the run folder.

    Attributes:
        best_metrics: All metrics when the best checkpoint was saved, by name.
    """

    def __init__(
        self, monitor: str | None = None, mode: Mode | None = None, dirpath: str | None = None
    ) -> None:
        super().__init__(
            dirpath, filename="best", monitor=monitor, save_last=True, enable_version_counter=False
        )
        self._custom_monitor, self._custom_mode = monitor, mode
        self._best_loss = math.inf
        self.best_metrics: dict[str, float] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        default_monitor = "epoch"
        if trainer.limit_val_batches != 0 and isinstance(pl_module, Monitored):
            default_monitor = pl_module.monitor
        self.monitor = self._custom_monitor or default_monitor
        self.mode = mode_of(pl_module, self.monitor, self._custom_mode, "--checkpoint.mode")
        self.kth_value = torch.tensor(math.inf if self.mode == "min" else -math.inf)
        self.dirpath = self.dirpath or str(Path(trainer.default_root_dir, "checkpoints"))
        with warnings.catch_warnings():  # a resumed run has its own files there
            warnings.filterwarnings("ignore", r"Checkpoint directory .* is not empty")
            super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check that no other callback writes `last.ckpt`, from which the run resumes.

        Raises:
            UserError: If one does.
        """
        super().on_train_start(trainer, pl_module)
        for other in trainer.checkpoint_callbacks:
            if other is self or not isinstance(other, ModelCheckpoint) or not other.save_last:
                continue
            if Path(other.dirpath or "").resolve() == Path(self.dirpath or "").resolve():
                raise UserError(
                    f"{type(other).__name__} would replace {self.dirpath}/last.ckpt, from which "
                    "the run resumes: set its dirpath, or its save_last to false"
                )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if checkpoint_callback_of(trainer) is self:
            step_plateau_schedules(trainer)  # before the checkpoint is saved
        complete = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch  # not with max_steps
        if complete or self.monitor in trainer.callback_metrics:
            super().on_train_epoch_end(trainer, pl_module)
        if self._should_save_on_train_epoch_end(trainer):
            self._save_last(trainer)
        else:  # also if a validation has saved this step, since the epoch had not ended then
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        if not self._should_save_on_train_epoch_end(trainer):
            self._save_last(trainer)

    def _save_last(self, trainer: Trainer) -> None:
        """Save `last.ckpt`, which Lightning writes only together with a new best."""
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Return whether the score is better than the best, or equal with a lower loss.

        While the score is zero, as BLEU often is at first, later checkpoints win ties of both.
        """
        if super().check_monitor_top_k(trainer, current):
            return True
        if current is None or current != self.best_model_score:
            return False
        loss = validation_loss(trainer)
        untrained = self.mode == "max" and current == 0 and loss == self._best_loss
        wins_tie = loss < self._best_loss or untrained
        return trainer.strategy.reduce_boolean_decision(bool(wins_tie))

    def _update_best_and_save(
        self, current: Tensor, trainer: Trainer, monitor_candidates: dict[str, Tensor]
    ) -> None:
        self._best_loss = validation_loss(trainer)
        self.best_metrics = {n: float(value) for n, value in trainer.callback_metrics.items()}
        super()._update_best_and_save(current, trainer, monitor_candidates)

    def state_dict(self) -> dict[str, Any]:
        """Return the state with the validation loss and all metrics of the best checkpoint."""
        best = {"best_loss": self._best_loss, "best_metrics": self.best_metrics}
        return {**super().state_dict(), **best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score, also if the folder was moved since the checkpoint was saved."""
        best, last = self.format_checkpoint_name({}), self.format_checkpoint_name({}, "last")
        if not Path(best).exists():
            return  # resumed in a new folder: the first validation is the best there
        score = state_dict["best_model_score"]
        paths = {"dirpath": self.dirpath, "best_model_path": best, "kth_best_model_path": best}
        scores = {} if score is None else {best: score}
        self._best_loss, self.best_metrics = state_dict["best_loss"], state_dict["best_metrics"]
        super().load_state_dict(
            state_dict | paths | {"best_k_models": scores, "last_model_path": last}
        )


def checkpoint_callback_of(trainer: Trainer) -> Checkpoint | None:
    """Return the callback that writes the checkpoints of the run, wherever it stands.

    This is the `BestCheckpoint` (the last one, if there are several), and otherwise the first
    checkpoint callback, as in Lightning.
    """
    callbacks = trainer.checkpoint_callbacks
    own = [callback for callback in callbacks if isinstance(callback, BestCheckpoint)]
    return own[-1] if own else trainer.checkpoint_callback


class ValidationEarlyStopping(EarlyStopping, Limit):
    """Stop training when a validation metric has stopped improving.

    An equal value with a lower validation loss counts as an improvement.

    Args:
        patience: Number of validations without improvement after which training stops.
        monitor: Metric to monitor; None for that of the task.
        mode: Whether lower (`min`) or higher (`max`) values are better; None to determine it, see
            `rnn_lab.training.monitor.mode_of`.
        min_delta: Minimum change that counts as an improvement.
        patience_steps: Minimum number of optimizer steps without improvement before training
            stops, so that small data, with few steps between validations, is not stopped early.
    """

    def __init__(
        self,
        patience: int = 3,
        monitor: str | None = None,
        mode: Mode | None = None,
        min_delta: float = 0.0,
        patience_steps: int = 100,
    ) -> None:
        if patience < 1:
            raise UserError(f"ValidationEarlyStopping: patience must be at least 1, got {patience}")
        if patience_steps < 0:
            raise UserError(
                f"ValidationEarlyStopping: patience_steps must be at least 0, got {patience_steps}"
            )
        super().__init__(monitor or "", patience=patience, check_on_train_epoch_end=False)
        self._custom_mode, self._min_change = mode, abs(min_delta)
        self.patience_steps = patience_steps
        self._best_loss, self._best_step = math.inf, 0  # at the last improvement
        self._loss, self._step = math.inf, 0  # at this validation

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if isinstance(pl_module, Monitored):
            self.monitor = self.monitor or pl_module.monitor
        if not self.monitor:
            name = type(pl_module).__name__
            raise UserError(f"ValidationEarlyStopping needs a monitor, as {name} declares none")
        option = "--early_stopping.mode"
        self.mode = mode_of(pl_module, self.monitor, self._custom_mode, option)
        sign = 1 if self.mode == "max" else -1
        self.min_delta = sign * self._min_change
        if math.isinf(self.best_score):  # no validation yet, in this run or the resumed one
            self.best_score = torch.tensor(-sign * math.inf)
        super().setup(trainer, pl_module, stage)

    def _should_skip_check(self, trainer: Trainer) -> bool:
        return super()._should_skip_check(trainer) or not trainer.enable_validation

    def _run_early_stopping_check(self, trainer: Trainer) -> None:
        self._loss, self._step = validation_loss(trainer), trainer.global_step
        super()._run_early_stopping_check(trainer)

    def _evaluate_stopping_criteria(self, current: Tensor) -> tuple[bool, str | None]:
        """Ignore validations before the first score above zero, as BLEU often starts at zero."""
        if self.mode == "max" and current == 0 and not self.best_score > 0:
            return False, None
        if current == self.best_score and self._loss < self._best_loss:
            self._record_improvement()
            return False, None
        should_stop, reason = super()._evaluate_stopping_criteria(current)
        if self.wait_count == 0:
            self._record_improvement()
        exhausted = self.stopping_reason is EarlyStoppingReason.PATIENCE_EXHAUSTED
        if exhausted and not self._is_exhausted():
            self.stopping_reason = EarlyStoppingReason.NOT_STOPPED
            return False, None
        return should_stop, reason

    def _is_exhausted(self) -> bool:
        steps = self._step - self._best_step
        return self.wait_count >= self.patience and steps >= self.patience_steps

    def _record_improvement(self) -> None:
        self.wait_count = 0
        self._best_loss, self._best_step = self._loss, self._step

    def state_dict(self) -> dict[str, Any]:
        """Return the state with loss and step of the last improvement."""
        best = {"best_loss": self._best_loss, "best_step": self._best_step}
        return {**super().state_dict(), **best, "step": self._step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the counts, with the patience of this run."""
        super().load_state_dict(state_dict | {"patience": self.patience})
        self._best_loss, self._best_step = state_dict["best_loss"], state_dict["best_step"]
        self._step = state_dict["step"]

    def reached(self, trainer: Trainer) -> str | None:
        """Return the reason to end training if the patience is exhausted."""
        if self.stopping_reason is EarlyStoppingReason.NOT_STOPPED:
            return None
        patience_exhausted = self.stopping_reason is EarlyStoppingReason.PATIENCE_EXHAUSTED
        if patience_exhausted and not self._is_exhausted():
            return None
        patience = f"{self.patience} validations and {self.patience_steps} steps"
        return f"stopped early by {self.monitor}, with a patience of {patience}"

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        exhausted = self.stopping_reason is EarlyStoppingReason.PATIENCE_EXHAUSTED
        if exhausted and trainer.should_stop and trainer.is_global_zero:
            reason = f"{self.monitor} did not improve for {self.wait_count} validations"
            log.info("stopped early: %s (best %.4g)", reason, self.best_score)


class TerminateOnNaN(Callback):
    """Stop training with an error when the loss is NaN or infinite, before it is checkpointed.

    On one CPU the loss is checked before the backward pass. On a GPU or with several processes a
    check at every step would cost a synchronization, so the first non-finite step is recorded on
    the device and checked every `every` batches, before validation and before checkpoints.

    Args:
        every: Batches between two checks on a GPU or with several processes.

    Raises:
        UserError: When a loss was not finite; it names the step and the last good checkpoint.
    """

    def __init__(self, every: int = 50) -> None:
        self.every = every
        self._steps: list[tuple[int, int, int]] = []  # step, epoch, batch since the last check
        self._first_bad: Tensor | None = None  # index in _steps; `every` if all are finite

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        if self._checks_at_once(trainer, loss):
            if not math.isfinite(loss.item()):
                raise _not_finite(trainer, _position(trainer))
            return
        index, no_index = len(self._steps), self.every
        self._steps.append(_position(trainer))
        bad = torch.where(loss.detach().isfinite(), no_index, index)
        self._first_bad = bad if self._first_bad is None else torch.minimum(self._first_bad, bad)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if len(self._steps) >= self.every:
            self._check(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._check(trainer)

    def on_save_checkpoint(self, trainer: Trainer, *_: Any) -> None:
        self._check(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Detect weights that became NaN in the last step, whose loss was still finite."""
        value = trainer.callback_metrics.get("val/loss")
        if value is not None and value.isnan() and not trainer.sanity_checking:
            step = trainer.global_step
            raise UserError(f"val/{NOT_FINITE} after step {step}: {_last_good(trainer)}")

    def _checks_at_once(self, trainer: Trainer, loss: Tensor) -> bool:
        return trainer.world_size == 1 and loss.device.type == "cpu"

    def _check(self, trainer: Trainer) -> None:
        if self._first_bad is None:
            return
        steps, first_bad = self._steps, self._first_bad
        self._steps, self._first_bad = [], None
        if trainer.world_size > 1:
            torch.distributed.all_reduce(first_bad, op=torch.distributed.ReduceOp.MIN)
        if (index := int(first_bad)) < len(steps):
            raise _not_finite(trainer, steps[index])


def _position(trainer: Trainer) -> tuple[int, int, int]:
    """Return step, epoch and batch of the current step."""
    return trainer.global_step, epoch_number(trainer), trainer.fit_loop.batch_idx + 1


def _not_finite(trainer: Trainer, position: tuple[int, int, int]) -> UserError:
    """Return the error of a loss that is not finite."""
    step, epoch, batch = position
    return UserError(
        f"{NOT_FINITE} at step {step} (epoch {epoch}, batch {batch}): {_last_good(trainer)}"
    )


def _last_good(trainer: Trainer) -> str:
    """Return a sentence that names the last checkpoint, and what to try."""
    all_callbacks = [checkpoint_callback_of(trainer), *trainer.checkpoint_callbacks]
    callbacks = [c for c in all_callbacks if isinstance(c, ModelCheckpoint)]
    paths = [path for c in callbacks for path in (c.last_model_path, c.best_model_path)]
    existing = next((path for path in paths if path and Path(path).exists()), None)
    state = f"the last good checkpoint is {existing}" if existing else "no checkpoint was saved yet"
    return f"{state}; try a smaller learning rate"


class GradNormAndLRMonitor(Callback):
    """Log the learning rate and the gradient norm before clipping.

    They are logged as `train/lr` (first parameter group) and `train/gradient_norm` (L2, over all
    parameters) every `log_every_n_steps`, at no cost in between.
    """

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        if not trainer._logger_connector.should_update_logs:
            return
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        log_step(pl_module, "train/gradient_norm", get_total_norm(gradients))
        log_step(pl_module, "train/lr", float(optimizer.param_groups[0]["lr"]))
