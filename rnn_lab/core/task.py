"""The project's only training, validation and test step."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from lightning import LightningModule
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, MetricCollection

import rnn_lab
from rnn_lab.core.checkpoint import FORMAT
from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.core.epoch_meter import EpochMeter
from rnn_lab.core.options import plain_options
from rnn_lab.core.public_paths import public_path
from rnn_lab.errors import UserError


class StepOutput(NamedTuple):
    """The result of a task's step over one batch.

    Attributes:
        loss: What is minimized, a scalar: the mean over the targets.
        predictions: What the metrics are given: for classes their probabilities
            `(batch, num_classes)`, for translations their text.
        targets: What was to be predicted.
        num_targets: Number of targets the loss is averaged over.
    """

    loss: Tensor
    predictions: Any
    targets: Any
    num_targets: int


class Task(LightningModule, ABC):
    """A model with what it minimizes and what is measured.

    A task computes the loss of a batch (`step`), names its metrics (`configure_metrics`) and its
    reports, and declares the batch it reads, the validation metric by which checkpoints are chosen
    and the predictor that answers raw input.

    Args:
        optimizer: Makes the optimizer from the parameters; None is Adam at 1e-3. An optimizer
            that has fused kernels uses them unless it is given `fused=False`.
        scheduler: Makes the learning-rate schedule from the optimizer. It steps once per epoch,
            or once per step where its class has `interval = "step"`; the total number of steps is
            assigned to its attribute `total_steps`, if it has one.

    Attributes:
        batch_type: The batch it reads; a data module declares the same.
        predictor: Class path of the `Predictor` that answers raw input; None if it reads tensors
            alone.
        monitor: The validation metric that checkpoints and early stopping look at.
        mode: Whether a lower (`min`) or a higher (`max`) value of it is better.
        writes_reports: Whether `reports` take part; the command line, which owns a folder for
            them, sets it. A report that you add to your own Trainer writes anyway.
    """

    batch_type: ClassVar[type]
    predictor: ClassVar[str | None] = None
    monitor: ClassVar[str] = "val/loss"
    mode: ClassVar[Literal["min", "max"]] = "min"
    writes_reports: bool = False

    def __init__(
        self,
        *,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self._optimizer: Callable[..., torch.optim.Optimizer] = optimizer or torch.optim.Adam
        self._scheduler = scheduler
        self.metrics: dict[str, MetricCollection] = nn.ModuleDict()  # type: ignore[assignment]
        self.losses: dict[str, MeanMetric] = nn.ModuleDict()  # type: ignore[assignment]
        self._meter = EpochMeter()
        self._evaluating = False

    @abstractmethod
    def step(self, batch: Any) -> StepOutput:
        """Compute the loss of a batch and, in evaluation, its predictions."""

    @abstractmethod
    def configure_metrics(self) -> dict[str, Metric | MetricCollection]:
        """Make the metrics of one stage by name; only scalars are logged."""

    def reports(self) -> list[Callback]:
        """Make the callbacks that write this task's figures and tables into the run's folder."""
        return []

    def configure_callbacks(self) -> list[Callback]:
        """Return the reports of this task, less those of a class that the Trainer has already."""
        present: list[Callback] = vars(self.trainer)["callbacks"]
        return [
            report
            for report in (self.reports() if self.writes_reports else ())
            if not any(isinstance(callback, type(report)) for callback in present)
        ]

    def check_data(self, data: Any) -> None:
        """Refuse data whose labels or sizes the model cannot deal with.

        Raises:
            UserError: If so.
        """

    def setup(self, stage: str) -> None:
        """Make the metrics of validation and test."""
        self.check_data(getattr(self.trainer, "datamodule", None))
        for name in {"val", "test"} - self.metrics.keys():
            self.metrics[name] = MetricCollection(self.configure_metrics()).to(self.device)
            self.losses[name] = MeanMetric().to(self.device)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Compute the loss of a batch and log it every few steps as `train/step_loss`.

        At the end of an epoch `train/loss`, its mean over all targets, and
        `train/targets_per_second` of all processes together are logged.
        """
        if batch_idx == 0:  # an epoch that is resumed in its middle has none
            self._meter.start_epoch()
        output = self.step(batch)
        self._meter.update(output.loss, output.num_targets)
        if self.trainer._logger_connector.should_update_logs:
            self.log("train/step_loss", output.loss, prog_bar=True)
        if self.trainer.is_last_batch:
            self._log_epoch()
        return output.loss

    def on_train_start(self) -> None:
        self._meter.start_clock()

    def on_train_epoch_end(self) -> None:
        """Log the totals of an epoch that ended before its last batch."""
        if not self._meter.reported:
            self._log_epoch()

    def _log_epoch(self) -> None:
        for name, value in self._meter.compute(self._all_gather).items():
            self.log(f"train/{name}", value, on_step=False, on_epoch=True, sync_dist=True)

    def _all_gather(self, mine: Tensor) -> Tensor:
        """Gather a tensor of each process, `(processes, numbers)`."""
        if self._trainer is None or self.trainer.world_size == 1:
            return mine[None]
        mine = mine.to(self.device)
        everyone = [torch.empty_like(mine) for _ in range(self.trainer.world_size)]
        torch.distributed.all_gather(everyone, mine)
        return torch.stack(everyone)

    def validation_step(self, batch: Any, batch_idx: int) -> StepOutput:  # type: ignore[override]
        """Update the validation metrics with a batch; callbacks receive the output."""
        return self._evaluate("val", batch)

    def test_step(self, batch: Any, batch_idx: int) -> StepOutput:  # type: ignore[override]
        """Update the test metrics with a batch; callbacks receive the output."""
        return self._evaluate("test", batch)

    def _evaluate(self, stage: str, batch: Any) -> StepOutput:
        output = self.step(batch)
        self.metrics[stage].update(output.predictions, output.targets)
        self.losses[stage].update(output.loss, output.num_targets)
        return output

    def on_validation_epoch_start(self) -> None:
        self._evaluating = True
        self._reset("val")

    def on_test_epoch_start(self) -> None:
        self._reset("test")

    def _reset(self, stage: str) -> None:
        """Reset the metrics only now, so that callbacks can read those of the last epoch."""
        self.metrics[stage].reset()
        self.losses[stage].reset()

    def on_validation_epoch_end(self) -> None:
        self._log_metrics("val")
        self._evaluating = False

    def on_test_epoch_end(self) -> None:
        self._log_metrics("test")

    def _log_metrics(self, stage: str) -> None:
        """Log the metrics over all batches and processes."""
        values = {"loss": self.losses[stage].compute(), **self.metrics[stage].compute()}
        for name, value in values.items():
            if value.ndim == 0:
                # Every process holds the same value; the mean over them only says so to Lightning.
                self.log(f"{stage}/{name}", value, prog_bar=stage == "val", sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Make the optimizer and its schedule."""
        optimizer = self._optimizer(self.parameters())
        for group in optimizer.param_groups:
            # None is torch's "not asked for". Set here and not in the constructor, fused steps
            # leave unscaling to Lightning and so go with clipping in mixed precision.
            if group.get("fused", False) is None:
                group["fused"] = True
        if self._scheduler is None:
            return optimizer
        scheduler = self._scheduler(optimizer)
        if hasattr(scheduler, "total_steps") and hasattr(scheduler, "interval"):
            scheduler.total_steps = self.trainer.estimated_stepping_batches
        return {
            "optimizer": optimizer,
            "lr_scheduler": {
                "scheduler": scheduler,
                "interval": getattr(scheduler, "interval", "epoch"),
                "monitor": getattr(scheduler, "monitor", None) or self.monitor,
            },
        }

    def build_spec(self) -> dict[str, Any]:
        """Return how to build this task again: its class path and constructor arguments."""
        return build_spec(type(self), dict(self.hparams))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add how to build the task, how its input is read, and the epoch so far."""
        loop = self.trainer.fit_loop.epoch_loop if self._trainer else None
        amid = loop is not None and not loop.batch_progress.is_last_batch
        if amid or self._evaluating or not self._meter.reported:
            checkpoint["partial_epoch"] = self._all_gather(self._meter.state()).tolist()
        made = self.build_spec()
        checkpoint["hyper_parameters"] = {"_class_path": made["class_path"], **made["init_args"]}
        datamodule = getattr(self._trainer, "datamodule", None)
        data = datamodule.build_spec() if isinstance(datamodule, LabDataModule) else None
        version = {"format": FORMAT, "version": rnn_lab.__version__}
        checkpoint["rnn_lab"] = {**version, "model": made, "data": data}
        if data is not None:
            # Lightning's own note holds every argument, paths of this machine among them.
            noted = {"_class_path": data["class_path"], **data["init_args"]}
            checkpoint["datamodule_hyper_parameters"] = noted

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the epoch so far."""
        found = torch.tensor(checkpoint.get("partial_epoch", []), dtype=torch.double)
        if self._trainer is None or self.trainer.state.fn != TrainerFn.FITTING or not len(found):
            return
        self._meter.load_state(found, self.trainer.global_rank, self.trainer.world_size)


def build_spec(cls: type, arguments: dict[str, Any]) -> dict[str, Any]:
    """Keep what the constructor of a class accepts and a checkpoint may hold.

    Lightning also notes links to arguments that the class lacks, and callables of Python code.
    """
    accepted = inspect.signature(cls).parameters
    kept = {k: plain_options(v) for k, v in arguments.items() if k in accepted and not callable(v)}
    return {"class_path": public_path(cls), "init_args": kept}


def check_sizes(task: Task, **sizes: int | None) -> None:
    """Refuse sizes that are missing, as when data does not know them, or below one."""
    for name, size in sizes.items():
        least = 2 if name == "num_classes" else 1
        if size is None:
            raise UserError(f"{type(task).__name__} needs {name}, and the data does not give it")
        if size < least:
            raise UserError(f"{name} must be at least {least}, got {size}")
