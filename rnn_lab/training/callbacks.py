"""What watches a run: the checkpoints it keeps, when it stops, what it shows meanwhile."""

import logging
import math
import sys
import time
import warnings
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, RichProgressBar
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from rnn_lab.errors import UserError

log = logging.getLogger(__name__)

Mode = Literal["min", "max"]


class BestCheckpoint(ModelCheckpoint):
    """Keep two checkpoints: `best.ckpt` by a validation metric, and `last.ckpt` of every epoch.

    Without validation (`limit_val_batches=0`), and for a module that names no metric of its own
    (`monitor` and `mode`), the last epoch counts as the best.

    Args:
        monitor: Metric that decides; None means the task's own.
        mode: Whether a small or a large value is good; None means the task's own.
        dirpath: Folder of the checkpoints; None means `checkpoints` in the run's folder.
    """

    def __init__(
        self, monitor: str | None = None, mode: Mode | None = None, dirpath: str | None = None
    ) -> None:
        super().__init__(
            dirpath, filename="best", monitor=monitor, save_last=True, enable_version_counter=False
        )
        self._wished_monitor, self._wished_mode = monitor, mode

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        blind = trainer.limit_val_batches == 0 or not hasattr(pl_module, "monitor")
        own = ("epoch", "max") if blind else (str(pl_module.monitor), str(pl_module.mode))
        self.monitor = self._wished_monitor or own[0]
        self.mode = self._wished_mode or own[1]
        self.kth_value = torch.tensor(math.inf if self.mode == "min" else -math.inf)
        self.dirpath = self.dirpath or str(Path(trainer.default_root_dir, "checkpoints"))
        with warnings.catch_warnings():  # a resumed run finds its own files there
            warnings.filterwarnings("ignore", r"Checkpoint directory .* is not empty")
            super().setup(trainer, pl_module, stage)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        cut = not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch  # as by max_steps
        if not cut or self.monitor in trainer.callback_metrics:
            super().on_train_epoch_end(trainer, pl_module)
        if self._should_save_on_train_epoch_end(trainer):
            self._save_last(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        if not self._should_save_on_train_epoch_end(trainer):
            self._save_last(trainer)

    def _save_last(self, trainer: Trainer) -> None:
        """Save what is not the best too: Lightning writes `last.ckpt` only beside a new best."""
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Prefer the later of checkpoints that score nothing, as a slow start in BLEU does."""
        better = super().check_monitor_top_k(trainer, current)
        if better or current is None or self.mode == "min" or current != 0:
            return better
        return not any(score > 0 for score in self.best_k_models.values())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on defending the best of this folder, wherever the folder was when it was saved."""
        best, last = self.format_checkpoint_name({}), self.format_checkpoint_name({}, "last")
        if not Path(best).exists():
            return  # resumed into a new folder: the first validation there is its best
        score = state_dict["best_model_score"]
        here = {"dirpath": self.dirpath, "best_model_path": best, "kth_best_model_path": best}
        scores = {} if score is None else {best: score}
        super().load_state_dict(
            state_dict | here | {"best_k_models": scores, "last_model_path": last}
        )


class ValidationEarlyStopping(EarlyStopping):
    """Stop when a validation metric has not got better for some epochs.

    Args:
        patience: Validations in a row without a better value.
        monitor: Metric that decides; None means the task's own.
        mode: Whether a small or a large value is good; None means the task's own.
        min_delta: Least change that counts as better.
    """

    def __init__(
        self,
        patience: int = 3,
        monitor: str | None = None,
        mode: Mode | None = None,
        min_delta: float = 0.0,
    ) -> None:
        if patience < 1:
            raise UserError(f"ValidationEarlyStopping: patience must be at least 1, got {patience}")
        super().__init__(monitor or "", patience=patience, check_on_train_epoch_end=False)
        self._wished_mode, self._least_change = mode, abs(min_delta)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.monitor = self.monitor or str(pl_module.monitor)
        self.mode = self._wished_mode or str(getattr(pl_module, "mode", "min"))
        sign = 1 if self.mode == "max" else -1
        self.min_delta = sign * self._least_change
        if math.isinf(self.best_score):  # nothing seen yet, in this run or the one resumed
            self.best_score = torch.tensor(-sign * math.inf)
        super().setup(trainer, pl_module, stage)

    def _should_skip_check(self, trainer: Trainer) -> bool:
        return super()._should_skip_check(trainer) or not trainer.enable_validation

    def _evaluate_stopping_criteria(self, current: Tensor) -> tuple[bool, str | None]:
        """Wait for the first score above nothing, as a slow start in BLEU has none."""
        if self.mode == "max" and current == 0 and not self.best_score > 0:
            return False, None
        return super()._evaluate_stopping_criteria(current)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.wait_count >= self.patience and trainer.is_global_zero:
            what = f"{self.monitor} no better for {self.wait_count} validations"
            log.info("%s (best %.4g): stopped early", what, self.best_score)


class TerminateOnNaN(Callback):
    """Stop with a clear line when the loss is no number, before any checkpoint is spoilt.

    On one CPU the loss is looked at before its gradients are taken. On a GPU or in several
    processes looking at every step would cost a synchronisation, so bad steps are remembered on
    the device and looked at every `every` batches, before a validation and before a checkpoint.

    Args:
        every: Batches between two looks where a look costs something.

    Raises:
        UserError: When a loss was NaN; it names the step and the last good checkpoint.
    """

    def __init__(self, every: int = 50) -> None:
        self.every = every
        self._seen: list[tuple[int, int, int]] = []  # step, epoch, batch since the last look
        self._first_bad: Tensor | None = None  # index in _seen, larger than any if all was well

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        index, none = len(self._seen), self.every
        self._seen.append((trainer.global_step, trainer.current_epoch, trainer.fit_loop.batch_idx))
        bad = torch.where(loss.detach().isfinite(), none, index)
        self._first_bad = bad if self._first_bad is None else torch.minimum(self._first_bad, bad)
        if trainer.world_size == 1 and loss.device.type == "cpu":
            self._look(trainer)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if len(self._seen) >= self.every:
            self._look(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._look(trainer)

    def on_save_checkpoint(self, trainer: Trainer, *_: Any) -> None:
        self._look(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Catch weights that broke in the last step, whose loss was still fine."""
        value = trainer.callback_metrics.get("val/loss")
        if value is not None and value.isnan() and not trainer.sanity_checking:
            step = trainer.global_step
            raise UserError(f"val/loss is nan after step {step}: {_last_good(trainer)}")

    def _look(self, trainer: Trainer) -> None:
        if self._first_bad is None:
            return
        seen, first_bad = self._seen, self._first_bad
        self._seen, self._first_bad = [], None
        if trainer.world_size > 1:
            torch.distributed.all_reduce(first_bad, op=torch.distributed.ReduceOp.MIN)
        if (index := int(first_bad)) < len(seen):
            step, epoch, batch = seen[index]
            where = f"step {step} (epoch {epoch}, batch {batch}, counted from 0)"
            raise UserError(f"loss is nan at {where}: {_last_good(trainer)}")


def _last_good(trainer: Trainer) -> str:
    keepers = [c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint)]
    paths = [
        path for keeper in keepers for path in (keeper.last_model_path, keeper.best_model_path)
    ]
    kept = next((path for path in paths if path and Path(path).exists()), None)
    advice = "try a smaller learning rate"
    return (
        f"the last good checkpoint is {kept}; {advice}"
        if kept
        else f"no checkpoint was saved yet; {advice}"
    )


class GradNormAndLRMonitor(Callback):
    """Log the learning rate and the length of the gradient before clipping.

    As `train/lr` (of the first parameter group) and `train/gradient_norm` (L2, all parameters),
    at the steps the Trainer logs (`log_every_n_steps`) and at no cost in between.
    """

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        if not trainer._logger_connector.should_update_logs:
            return
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        pl_module.log("train/gradient_norm", get_total_norm(gradients))
        pl_module.log("train/lr", float(optimizer.param_groups[0]["lr"]))


class BatchProgressBar(RichProgressBar):
    """Show a progress bar on a terminal; elsewhere log one line an epoch."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=10, leave=True, console_kwargs={"stderr": True})
        self._redraw = 0.0
        if not sys.stderr.isatty():
            self.disable()

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        """Redraw ten times a second: each time reads metrics from the device."""
        now = time.monotonic()
        if self.is_enabled and (now >= self._redraw or trainer.is_last_batch):
            self._redraw = now + 0.1
            super().on_train_batch_end(trainer, *args)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch_start = time.monotonic()  # an epoch that is gone on with has no start
        super().on_train_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch_start = time.monotonic()
        super().on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        if not self.is_enabled:
            self._log_epoch(trainer)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        shown = super().get_metrics(trainer, pl_module)
        shown.pop("v_num", None)  # the id of the W&B run, or nothing
        return shown

    @rank_zero_only
    def _log_epoch(self, trainer: Trainer) -> None:
        known = trainer.callback_metrics
        names = [n for n in ("train/loss",) if n in known] + [n for n in known if n[:4] == "val/"]
        values = [f"{name} {float(known[name]):.4g}" for name in names]
        last = f"/{trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""
        seconds = time.monotonic() - self._epoch_start
        parts = [f"epoch {trainer.current_epoch + 1}{last}", *values, f"{seconds:.0f} s"]
        log.info("  ".join(parts))
