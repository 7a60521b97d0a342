"""Base class of all tasks: training, validation and test steps."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, cast, runtime_checkable

import torch
from lightning import LightningModule
from lightning.pytorch.callbacks import BatchSizeFinder, Callback, LearningRateFinder
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import MeanMetric, Metric, MetricCollection

import rnn_lab
from rnn_lab.core.checkpoint import FORMAT
from rnn_lab.core.cpu import configure_cpu
from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.core.epoch_meter import EpochMeter
from rnn_lab.core.half_precision import keep_batches_in_float32
from rnn_lab.core.options import check_named_arguments, plain_options
from rnn_lab.core.public_paths import public_path
from rnn_lab.core.step_log import log_step
from rnn_lab.errors import UserError

DEFAULT_OPTIMIZER = "torch.optim.Adam"


@runtime_checkable
class Monitored(Protocol):
    """A module that declares which validation metric selects checkpoints, as every `Task` does.

    A plain `LightningModule` becomes one by these two attributes.

    Attributes:
        monitor: Validation metric that selects checkpoints and stops training early.
        mode: Whether a lower (`min`) or a higher (`max`) value of `monitor` is better.
    """

    @property
    def monitor(self) -> str: ...

    @property
    def mode(self) -> Literal["min", "max"]: ...


class StepOutput(NamedTuple):
    """The result of a task's step over one batch.

    Attributes:
        loss: Scalar loss to minimize, the mean over the targets.
        predictions: First argument of the metrics: class probabilities `(batch, num_classes)`, or
            the texts of translations.
        targets: Second argument of the metrics, the true values.
        num_targets: Number of targets the loss is averaged over; a tensor if it is counted on the
            device, which the CPU does not wait for.
    """

    loss: Tensor
    predictions: Any
    targets: Any
    num_targets: int | Tensor


class Task(LightningModule, ABC):
    """A model with its loss, its metrics and its reports.

    A task computes the loss of a batch (`step`), defines its metrics (`configure_metrics`) and its
    reports, and declares its batch type, the validation metric that selects checkpoints, and the
    predictor for inference on raw input.

    Args:
        optimizer: Function from the parameters to the optimizer; None for Adam with a learning
            rate of 1e-3. An optimizer with fused kernels uses them unless `fused=False` is set.
        scheduler: Function from the optimizer to the learning-rate schedule. The schedule is
            updated once per epoch, or once per step if its class has `interval = "step"`. If it
            has an attribute `total_steps`, the total number of steps is assigned to it.

    Attributes:
        batch_type: Class of the batches; a data module declares the same.
        predictor: Class path of the `Predictor` for raw input; None if there is none.
        commands: Commands of `rnn-lab` that use the predictor, the most usual one first; `fit`
            names them when it ends.
        monitor: Validation metric that selects checkpoints and stops training early.
        mode: Whether a lower (`min`) or a higher (`max`) value of `monitor` is better.
        score_modes: The same for scores that one metric computes together, by name without stage.
        lr: Learning rate that replaces that of the optimizer; None to keep it. Lightning's
            `LearningRateFinder` sets it.
        writes_reports: Whether the callbacks of `reports` are added to the Trainer. The command
            line sets it, because it prepares a run folder for them. Reports that you add to your
            own Trainer write in any case.
    """

    batch_type: ClassVar[type]
    predictor: ClassVar[str | None] = None
    commands: ClassVar[tuple[str, ...]] = ("predict",)
    monitor: ClassVar[str] = "val/loss"
    mode: ClassVar[Literal["min", "max"]] = "min"
    score_modes: ClassVar[Mapping[str, Literal["min", "max"]]] = {}
    writes_reports: bool = False

    def __init__(
        self,
        *,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__()
        check_named_arguments(type(self))
        self.save_hyperparameters(logger=False)
        self._optimizer: Callable[..., torch.optim.Optimizer] = optimizer or torch.optim.Adam
        self._scheduler = scheduler
        self.lr: float | None = None
        self.metrics = cast("dict[str, MetricCollection]", nn.ModuleDict())
        self.losses = cast("dict[str, MeanMetric]", nn.ModuleDict())
        self._meter = EpochMeter()
        self._evaluating = False

    @abstractmethod
    def step(self, batch: Any) -> StepOutput:
        """Compute the loss of a batch and, in evaluation, its predictions."""

    @abstractmethod
    def configure_metrics(self) -> dict[str, Metric | MetricCollection]:
        """Return new metrics of one stage by name; only scalars are logged."""

    def items(self, output: StepOutput, batch: Any) -> dict[str, Any]:
        """Return what a test saves of each row of a batch, see `rnn_lab.training.ItemReport`.

        Args:
            output: What `test_step` returned.
            batch: The batch.

        Returns:
            By column a tensor or array, `(batch,)` or `(batch, values)`, or a list. No columns, as
            by default, save nothing.
        """
        return {}

    def reports(self) -> list[Callback]:
        """Return the callbacks that write figures and tables into the run folder."""
        return []

    def configure_callbacks(self) -> list[Callback]:
        """Return the reports of this task, except those of a class that the Trainer already has.

        This is the first hook that a Trainer calls, so it also configures the CPU.
        """
        configure_cpu(running_threads=True)
        present: list[Callback] = vars(self.trainer)["callbacks"]
        return [
            report
            for report in (self.reports() if self.writes_reports else ())
            if not any(isinstance(callback, type(report)) for callback in present)
        ]

    def check_data(self, data: Any) -> None:
        """Check that the labels and sizes of the data match the model.

        Raises:
            UserError: If they do not match.
        """

    def setup(self, stage: str) -> None:
        """Create the metrics of validation and test."""
        keep_batches_in_float32(self.trainer)
        self.check_data(getattr(self.trainer, "datamodule", None))
        for name in {"val", "test"} - self.metrics.keys():
            self.metrics[name] = MetricCollection(self.configure_metrics()).to(self.device)
            # NaN, as the default leaves batches with a loss of NaN out of the mean.
            self.losses[name] = MeanMetric(nan_strategy=float("nan")).to(self.device)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Compute the loss of a batch; log it as `train/step_loss` every `log_every_n_steps`.

        At the end of an epoch, `train/loss`, the mean over all targets, and
        `train/targets_per_second`, the throughput of all processes, are logged.
        """
        if batch_idx == 0:  # not reached in an epoch that is resumed in the middle
            self._meter.start_epoch()
        output = self.step(batch)
        self._meter.update(output.loss, output.num_targets)
        if self.trainer._logger_connector.should_update_logs:
            log_step(self, "train/step_loss", output.loss, prog_bar=True)
        if self.trainer.is_last_batch:
            self._log_epoch()
        return output.loss

    def on_fit_start(self) -> None:
        """Rebuild optimizer and schedule if a finder has changed the learning rate or batch size.

        Both were built before, and a schedule depends on the rate and the number of steps.
        """
        callbacks: list[Callback] = vars(self.trainer)["callbacks"]
        if any(isinstance(each, LearningRateFinder | BatchSizeFinder) for each in callbacks):
            self.trainer.strategy.setup_optimizers(self.trainer)

    def on_train_start(self) -> None:
        self._meter.start_clock()

    def on_train_epoch_end(self) -> None:
        """Log the epoch if it ended before its last batch, as by `max_steps` or a time budget."""
        if not self._meter.reported:
            self._log_epoch()

    def _log_epoch(self) -> None:
        for name, value in self._meter.compute(self._all_gather).items():
            self.log(f"train/{name}", value, on_step=False, on_epoch=True, sync_dist=True)

    def _all_gather(self, values: Tensor) -> Tensor:
        """Stack a tensor of every process, `(processes, values)`."""
        if self._trainer is None or self.trainer.world_size == 1:
            return values[None]
        values = values.to(self.device)
        gathered = [torch.empty_like(values) for _ in range(self.trainer.world_size)]
        torch.distributed.all_gather(gathered, values)
        return torch.stack(gathered)

    def validation_step(  # type: ignore[override]  # Lightning's type of outputs has no tuples
        self, batch: Any, batch_idx: int
    ) -> StepOutput:
        """Update the validation metrics with a batch; callbacks receive the output."""
        return self._evaluate("val", batch)

    def test_step(  # type: ignore[override]  # Lightning's type of outputs has no tuples
        self, batch: Any, batch_idx: int
    ) -> StepOutput:
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
        """Reset the metrics as an epoch starts, so that callbacks can read them after its end."""
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
                # All processes hold the same value; Lightning warns without sync_dist.
                self.log(f"{stage}/{name}", value, prog_bar=stage == "val", sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer and its learning-rate schedule."""
        options = {} if self.lr is None else {"lr": self.lr}
        optimizer = self._optimizer(self.parameters(), **options)
        for group in optimizer.param_groups:
            # None is torch's default. Lightning unscales gradients itself only if fused is set here
            # and not in the constructor, which clipping in mixed precision requires.
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
                "monitor": getattr(scheduler, "monitor", None) or self._monitor_of(scheduler),
            },
        }

    def _monitor_of(self, scheduler: Any) -> str:
        """Return the metric for a schedule that names none: the loss if it shall decrease."""
        mode = scheduler.mode if isinstance(scheduler, ReduceLROnPlateau) else self.mode
        if mode == self.mode:
            return self.monitor
        if mode == "min":
            return "val/loss"
        raise UserError(
            f"{type(scheduler).__name__}: mode={mode} does not fit {self.monitor}, which is better "
            f"if lower: set mode={self.mode}"
        )

    def build_spec(self) -> dict[str, Any]:
        """Return class path and constructor arguments to rebuild this task, as plain values."""
        spec = build_spec(type(self), dict(self.hparams))
        if self.lr is not None and "optimizer" in spec["init_args"]:
            spec["init_args"]["optimizer"] = with_lr(spec["init_args"]["optimizer"], self.lr)
        return spec

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the build specifications of task and data, and the sums of a partial epoch."""
        loop = self.trainer.fit_loop.epoch_loop if self._trainer else None
        mid_epoch = loop is not None and not loop.batch_progress.is_last_batch
        if mid_epoch or self._evaluating or not self._meter.reported:
            checkpoint["partial_epoch"] = self._all_gather(self._meter.state()).tolist()
        spec = self.build_spec()
        checkpoint["hyper_parameters"] = {"_class_path": spec["class_path"], **spec["init_args"]}
        datamodule = getattr(self._trainer, "datamodule", None)
        data = datamodule.build_spec() if isinstance(datamodule, LabDataModule) else None
        version = {"format": FORMAT, "version": rnn_lab.__version__}
        checkpoint["rnn_lab"] = {**version, "model": spec, "data": data}
        if data is not None:
            # Lightning would store every argument, including paths of this machine.
            hparams = {"_class_path": data["class_path"], **data["init_args"]}
            checkpoint["datamodule_hyper_parameters"] = hparams

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the sums of a partial epoch."""
        sums = torch.tensor(checkpoint.get("partial_epoch", []), dtype=torch.double)
        if self._trainer is None or self.trainer.state.fn != TrainerFn.FITTING or not len(sums):
            return
        self._meter.load_state(sums, self.trainer.global_rank, self.trainer.world_size)


def with_lr(optimizer: Mapping[str, Any] | None, lr: float) -> dict[str, Any]:
    """Return class path and arguments of an optimizer with another learning rate.

    Args:
        optimizer: Class path and arguments; None for the default optimizer.
        lr: Learning rate.
    """
    spec = dict(optimizer or {"class_path": DEFAULT_OPTIMIZER})
    return {**spec, "init_args": {**(spec.get("init_args") or {}), "lr": lr}}


def build_spec(cls: type, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return class path and constructor arguments of a class, as plain values.

    Hyperparameters that Lightning also saves are left out: links to arguments that the constructor
    does not accept, and callables.
    """
    accepted = inspect.signature(cls).parameters
    init_args = {
        k: plain_options(v) for k, v in arguments.items() if k in accepted and not callable(v)
    }
    return {"class_path": public_path(cls), "init_args": init_args}


def check_sizes(task: Task, **sizes: int | None) -> None:
    """Check that sizes are set, by the user or the data, and large enough.

    Raises:
        UserError: If a size is None, or below 1 (`num_classes`: 2).
    """
    for name, size in sizes.items():
        minimum = 2 if name == "num_classes" else 1
        if size is None:
            task_name = type(task).__name__
            raise UserError(f"{task_name} needs {name}, which the data does not provide")
        if size < minimum:
            raise UserError(f"{name} must be at least {minimum}, got {size}")


def check_probabilities(**values: float) -> None:
    """Check that probabilities are at least 0 and below 1.

    Raises:
        UserError: If one is not.
    """
    for name, value in values.items():
        if not 0 <= value < 1:
            raise UserError(f"{name} must be at least 0 and below 1, got {value}")
