"""Training steps in a plain loop and through the Trainer, on the same examples."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from rnn_lab.benchmarks.comparison import Implementation, Sample, Variant
from rnn_lab.benchmarks.machine import AS_SHIPPED, PLAIN
from rnn_lab.benchmarks.settings import Settings
from rnn_lab.benchmarks.timing import synchronize
from rnn_lab.errors import UserError
from rnn_lab.io.downloads import data_root

CLIP = 1.0  # norm at which gradients are clipped, as `rnn-lab fit` does


@dataclass(frozen=True)
class Workload:
    """A model and the batches of a round, the first of which is not timed.

    Args:
        model: The model; it keeps its weights from round to round.
        loss: Computes the loss of a batch.
        batches: Creates the batches of a round from its number, while they are timed.
        checks: Batches on which the losses of equal models must be equal.
        count: Returns the items of a batch.
        flops: Floating-point operations per item in products with weights; 0 if not counted.
    """

    model: nn.Module
    loss: Callable[[Any], Tensor]
    batches: Callable[[int], Iterable[Any]]
    checks: Callable[[], Iterable[Any]]
    count: Callable[[Any], float]
    flops: float = 0.0


class Loop(Implementation):
    """A plain training loop: Adam and clipping of gradients.

    Args:
        workload: What is trained, on what.
        device: Device of the model.
        bfloat16: Whether the loss is computed under bfloat16 autocast.
        fused: Whether Adam is fused, as in `rnn-lab fit`; None for PyTorch's default.
    """

    def __init__(
        self,
        workload: Workload,
        device: str = "cpu",
        bfloat16: bool = False,
        *,
        fused: bool | None = True,
    ) -> None:
        self.workload, self.device, self.bfloat16 = workload, device, bfloat16
        workload.model.to(device)
        self.flops = workload.flops
        parameters = workload.model.parameters()
        self.optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=fused)

    def values(self) -> list[float]:
        model = self.workload.model.eval()
        with torch.no_grad():
            losses = [float(self._loss(batch)) for batch in self.workload.checks()]
        model.train()
        return losses

    def run(self, number: int) -> Sample:
        self.workload.model.train()
        batches = iter(self.workload.batches(number))
        self._step(next(batches))
        items = 0.0
        synchronize(self.device)
        start = time.perf_counter()
        for batch in batches:
            self._step(batch)
            items += self.workload.count(batch)
        synchronize(self.device)
        return Sample(time.perf_counter() - start, items)

    def _loss(self, batch: Any) -> Tensor:
        batch = _move(batch, self.device)
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, self.bfloat16):
            return self.workload.loss(batch)

    def _step(self, batch: Any) -> None:
        self.optimizer.zero_grad()
        self._loss(batch).backward()
        nn.utils.clip_grad_norm_(self.workload.model.parameters(), CLIP)
        self.optimizer.step()


class Fit(Loop):
    """The same steps by Lightning's Trainer, as `rnn-lab fit` sets it up, without a run folder.

    Args:
        workload: What is trained; its model is a `Task`.
        loader: The data loader from which the Trainer reads at least one batch more than `steps`.
        steps: Timed steps of a round.
        device: Device of the model.
        bfloat16: Whether to train in `bf16-mixed` precision.
    """

    def __init__(
        self,
        workload: Workload,
        loader: Iterable[Any],
        steps: int,
        device: str = "cpu",
        bfloat16: bool = False,
    ) -> None:
        super().__init__(workload, device, bfloat16)
        self.loader, self.steps = loader, steps

    def run(self, number: int) -> Sample:
        clock = Clock(self.workload.count, self.steps, self.device)
        trainer = Trainer(
            accelerator="cpu" if self.device == "cpu" else "gpu",
            devices=1,
            precision="bf16-mixed" if self.bfloat16 else "32-true",
            max_epochs=1,
            limit_train_batches=self.steps + 1,
            gradient_clip_val=CLIP,
            use_distributed_sampler=False,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[clock],
        )
        model = self.workload.model
        assert isinstance(model, LightningModule)
        trainer.fit(model.train(), self.loader)
        model.to(self.device)
        if not clock.seconds:
            raise UserError(f"there are fewer than {self.steps + 1} batches to train on")
        return Sample(clock.seconds, clock.items)


class Clock(Callback):
    """Measures from the end of the first batch to the end of the last one.

    Args:
        count: Returns the items of a batch.
        steps: Number of timed steps.
        device: Device that is waited for.
    """

    def __init__(self, count: Callable[[Any], float], steps: int, device: str) -> None:
        self.count, self.steps, self.device = count, steps, device
        self.items = self.seconds = self.start = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Start after the first batch, so that loading the second one counts, too."""
        if batch_idx == 0:
            synchronize(self.device)
            self.start = time.perf_counter()
            return
        self.items += self.count(batch)
        if batch_idx == self.steps:
            synchronize(self.device)
            self.seconds = time.perf_counter() - self.start


def ways(layer: str, reference: str, settings: Settings) -> list[Variant]:
    """Return the ways to train with a layer, of which all compute the same.

    Args:
        layer: Name of the layer, which is the name of the way through the Trainer.
        reference: Name of the loop in plain PyTorch, measured with the settings of the CPU of
            PyTorch and with ours.
        settings: Options of the command line.
    """
    plain = [Variant(f"{layer}, plain", layer, PLAIN)] if settings.plain_too else []
    return [
        Variant(f"{reference}, as shipped", f"reference {layer}", AS_SHIPPED),
        Variant(reference, f"reference {layer}"),
        Variant(f"{layer}, bare loop", f"loop {layer}"),
        Variant(layer, layer),
        *plain,
    ]


def in_data_root(dataset: str) -> bool:
    """Whether the data root has a dataset, so that nothing has to be downloaded."""
    return (data_root() / dataset).is_dir()


def first_batches(loader: Iterable[Any], steps: int) -> Iterable[Any]:
    """Return the batches of a round: one that is not timed, and those of the timed steps."""
    return islice(loader, steps + 1)


def _move(batch: Any, device: str) -> Any:
    """Move a batch to a device; a plain tuple is one of the textbook's."""
    if type(batch) is tuple:
        return tuple(part.to(device) for part in batch)
    return batch.to(torch.device(device))
