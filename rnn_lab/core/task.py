"""The project's only training, validation and test step."""

import inspect
import time
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from lightning import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, MetricCollection

import rnn_lab
from rnn_lab.errors import UserError


class Scores(NamedTuple):
    """What a task says of one batch.

    Attributes:
        loss: What is minimised, a scalar: the mean over the targets.
        predictions: What the metrics are given: of classes their probabilities
            `(batch, num_classes)`, of translations their text.
        targets: What was to be predicted.
        weight: Over how many targets the loss is a mean.
    """

    loss: Tensor
    predictions: Any
    targets: Any
    weight: int


class Task(LightningModule):
    """A model with what it minimises and what is measured.

    A family says how a batch is scored (`score`) and what is measured (`stage_metrics`), and
    declares the batch it reads, the validation metric it is chosen by and, by its class path, the
    `Predictor` that answers raw input with it; None: it reads tensors only.

    Args:
        optimizer: Makes the optimiser from the parameters; None is Adam at 1e-3. An optimiser
            that has fused kernels uses them unless it is given `fused=False`.
        scheduler: Makes the learning-rate schedule from the optimiser. It steps once an epoch,
            or once a step where its class says `interval = "step"`; one with an attribute
            `total_steps` is told how many steps there will be.
    """

    reads: ClassVar[type]
    predictor: ClassVar[str | None] = None
    monitor: ClassVar[str] = "val/loss"
    mode: ClassVar[Literal["min", "max"]] = "min"

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
        self.results: dict[str, MetricCollection] = nn.ModuleDict()  # type: ignore[assignment]
        self.losses: dict[str, MeanMetric] = nn.ModuleDict()  # type: ignore[assignment]
        self._summed, self._targets = torch.zeros(()), 0  # of the epoch so far, in this process
        self._seconds, self._began = 0.0, float("nan")  # before it was gone on with; when it was
        self._told, self._measuring = True, False

    def score(self, batch: Any) -> Scores:
        """Predict a batch and compare it with its targets."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it scores a batch")

    def stage_metrics(self) -> dict[str, Metric | MetricCollection]:
        """Make the metrics of one stage by name; what is more than one number is not logged."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it measures")

    def check_data(self, data: Any) -> None:
        """Refuse data whose labels or sizes the model cannot deal with.

        Raises:
            UserError: If so.
        """

    def setup(self, stage: str) -> None:
        """Make the metrics of validation and test."""
        self.check_data(getattr(self.trainer, "datamodule", None))
        for name in {"val", "test"} - self.results.keys():
            self.results[name] = MetricCollection(self.stage_metrics()).to(self.device)
            self.losses[name] = MeanMetric().to(self.device)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Score a batch; log its loss now and then, and the mean over the epoch as `train/loss`.

        Each `self.log` costs half a millisecond, so the mean is summed here. How fast all processes
        together went through the epoch is logged as `train/targets_per_second`.
        """
        if batch_idx == 0:  # which an epoch that is gone on with has not
            self._summed, self._targets = torch.zeros(()), 0
            self._seconds, self._began, self._told = 0.0, time.monotonic(), False
        scores = self.score(batch)
        self._summed = self._summed.to(self.device) + scores.loss.detach() * scores.weight
        self._targets += scores.weight
        if self.trainer._logger_connector.should_update_logs:
            self.log("train/step_loss", scores.loss, prog_bar=True)
        if self.trainer.is_last_batch:
            self._tell()
        return scores.loss

    def on_train_start(self) -> None:
        self._began = time.monotonic()

    def on_train_epoch_end(self) -> None:
        """Log what the last batch would have logged, had the epoch not been left after it."""
        if not self._told:
            self._tell()

    def _tell(self) -> None:
        """Log the loss of the epoch, over the targets of all processes, and how fast it went."""
        seconds = self._seconds + time.monotonic() - self._began
        mine = torch.stack([self._summed.cpu().double(), torch.tensor(self._targets).double()])
        loss, targets = self._from_all(mine).sum(0)
        for name, value in (("loss", loss / targets), ("targets_per_second", targets / seconds)):
            self.log(f"train/{name}", value.float(), on_step=False, on_epoch=True, sync_dist=True)
        self._told = True

    def _from_all(self, mine: Tensor) -> Tensor:
        """Put together what each process has, `(processes, numbers)`."""
        if self._trainer is None or self.trainer.world_size == 1:
            return mine[None]
        mine = mine.to(self.device)
        everyone = [torch.empty_like(mine) for _ in range(self.trainer.world_size)]
        torch.distributed.all_gather(everyone, mine)
        return torch.stack(everyone)

    def validation_step(self, batch: Any, batch_idx: int) -> Scores:  # type: ignore[override]
        """Score a batch and take it into the validation metrics; callbacks are given the scores."""
        return self._measure("val", batch)

    def test_step(self, batch: Any, batch_idx: int) -> Scores:  # type: ignore[override]
        """Score a batch and take it into the test metrics; callbacks are given the scores."""
        return self._measure("test", batch)

    def _measure(self, stage: str, batch: Any) -> Scores:
        scores = self.score(batch)
        self.results[stage].update(scores.predictions, scores.targets)
        self.losses[stage].update(scores.loss, scores.weight)
        return scores

    def on_validation_epoch_start(self) -> None:
        self._measuring = True
        self._start("val")

    def on_test_epoch_start(self) -> None:
        self._start("test")

    def _start(self, stage: str) -> None:
        """Forget the last epoch only now, so that callbacks can look at it until then."""
        self.results[stage].reset()
        self.losses[stage].reset()

    def on_validation_epoch_end(self) -> None:
        self._report("val")
        self._measuring = False

    def on_test_epoch_end(self) -> None:
        self._report("test")

    def _report(self, stage: str) -> None:
        """Log what was measured over all batches and processes."""
        values = {"loss": self.losses[stage].compute(), **self.results[stage].compute()}
        for name, value in values.items():
            if value.ndim == 0:
                # Every process holds the same value; the mean over them only says so to Lightning.
                self.log(f"{stage}/{name}", value, prog_bar=stage == "val", sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Make the optimiser and its schedule."""
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

    def recipe(self) -> dict[str, Any]:
        """Say how to build this task again: its class and the arguments its constructor takes."""
        return recipe(type(self), dict(self.hparams))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what it takes to build the task, to read its input and to end the epoch."""
        loop = self.trainer.fit_loop.epoch_loop if self._trainer else None
        amid = loop is not None and not loop.batch_progress.is_last_batch
        if amid or self._measuring or not self._told:
            seconds = self._seconds + time.monotonic() - self._began
            mine = torch.tensor([float(self._summed), self._targets, seconds], dtype=torch.double)
            checkpoint["epoch_so_far"] = self._from_all(mine).tolist()
        made = self.recipe()
        checkpoint["hyper_parameters"] = {"_class_path": made["class_path"], **made["init_args"]}
        checkpoint["rnn_lab"] = {"version": rnn_lab.__version__, "model": made}
        datamodule = getattr(self._trainer, "datamodule", None)
        if datamodule is not None:
            data = checkpoint["rnn_lab"]["data"] = datamodule.recipe()
            # Lightning's own note holds every argument, paths of this machine among them.
            noted = {"_class_path": data["class_path"], **data["init_args"]}
            checkpoint["datamodule_hyper_parameters"] = noted

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up what was summed in an epoch that was left; other processes share it otherwise."""
        found = torch.tensor(checkpoint.get("epoch_so_far", []), dtype=torch.double)
        if self._trainer is None or self.trainer.state.fn != TrainerFn.FITTING or not len(found):
            return
        rank, as_many = self.trainer.global_rank, len(found) == self.trainer.world_size
        mine = found[rank] if as_many else found.sum(0) * float(rank == 0)
        self._summed, self._targets = mine[0].float(), int(mine[1])
        self._seconds, self._told = float(found[:, 2].max()), False


def recipe(cls: type, arguments: dict[str, Any]) -> dict[str, Any]:
    """Keep what the constructor of a class accepts and a checkpoint may hold.

    Lightning also notes links to arguments that the class lacks, and callables of Python code.
    """
    accepted = inspect.signature(cls).parameters
    kept = {k: v for k, v in arguments.items() if k in accepted and not callable(v)}
    return {"class_path": f"{cls.__module__}.{cls.__qualname__}", "init_args": kept}


def check_sizes(task: Task, **sizes: int | None) -> None:
    """Refuse sizes that are missing, as when data does not know them, or below one."""
    for name, size in sizes.items():
        least = 2 if name == "num_classes" else 1
        if size is None:
            raise UserError(f"{type(task).__name__} needs {name}, and the data does not give it")
        if size < least:
            raise UserError(f"{name} must be at least {least}, got {size}")
