"""What the Trainer costs over a bare loop, and what the settings of the CPU gain."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Callback
from torch import nn

from rnn_lab import datamodules
from rnn_lab.benchmarks import cpu_settings
from rnn_lab.benchmarks.comparison import Comparison, Implementation, Sample, Variant
from rnn_lab.benchmarks.machine import PLAIN, threads_title
from rnn_lab.benchmarks.settings import Settings
from rnn_lab.benchmarks.training import CLIP, in_data_root
from rnn_lab.errors import UserError
from rnn_lab.models import TextClassifier
from rnn_lab.tasks.text_classification.models import Dropouts, Initialization

SEED, WARM_UP, CHECKED_STEPS = 42, 10, 3
STEPS, QUICK_STEPS, BATCH = 100, 40, 32
SIZES: dict[str, Any] = {"embedding_dim": 128, "hidden_dim": 128, "bidirectional": True}


def comparisons(settings: Settings) -> Iterator[Comparison]:
    """Yield the overhead of the Trainer, and the effect of the settings of the CPU."""
    names = ["SyntheticReviews"]
    if not settings.quick and in_data_root("sst2"):
        names.append("SST2")
    for threads in settings.threads:
        for name in names:
            yield _overhead(settings, name, threads)
        yield from cpu_settings.comparisons(settings, threads)


def build(options: dict[str, Any], names: Sequence[str]) -> dict[str, Implementation]:
    """Build the bare loop and the command, or what measures the settings of the CPU."""
    if "data" not in options:
        return cpu_settings.build(options, names)
    ways = {"bare loop": bare_loop, "rnn-lab fit": fit_by_command}
    return {name: Training(partial(ways[name], options), options["steps"]) for name in names}


def _overhead(settings: Settings, name: str, threads: int) -> Comparison:
    steps = QUICK_STEPS if settings.quick else STEPS
    variants = [Variant("bare loop", "bare loop"), Variant("rnn-lab fit", "rnn-lab fit")]
    if settings.plain_too:
        variants += [Variant(f"{each.name}, plain", each.name, PLAIN) for each in variants]
    return Comparison(
        "trainer",
        f"{name}, 1 x {SIZES['hidden_dim']} bidirectional, batches of {BATCH}, "
        f"{threads_title(threads)}",
        {"data": name, **SIZES, "steps": steps, **settings.computation()},
        variants,
        ["bare loop"],
        [[each.name for each in variants]],
        "steps",
        threads,
        settings.tolerance,
    )


class Steps(NamedTuple):
    """A training.

    Attributes:
        begins: Time at which each step began, in seconds.
        loss: Loss of the last step.
    """

    begins: list[float]
    loss: float


class Training(Implementation):
    """A training from the same seed, of which a step lasts from one batch to the next.

    Start-up, warm-up, validation and checkpoints are not counted.

    Args:
        train: Trains for a number of steps.
        steps: Number of timed steps.
        items: Items of a step.
    """

    def __init__(self, train: Callable[[int], Steps], steps: int, items: int = 1) -> None:
        self.train, self.steps, self.items = train, steps, items

    def values(self) -> list[float]:
        return [self.train(CHECKED_STEPS).loss]

    def run(self, number: int) -> Sample:
        begins = self.train(WARM_UP + self.steps + 1).begins
        seconds = [end - begin for begin, end in pairwise(begins)][WARM_UP:]
        return Sample(self.steps * statistics.mean(seconds), self.steps * self.items)

    def megabytes(self, device: str) -> float | None:
        return None  # the command runs in a process of its own


class StepTimes(Callback):
    """Writes when each step began, and the loss of the last one, to a file.

    Dropout is drawn from the same seed as in the bare loop.

    Args:
        path: The file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.begins: list[float] = []
        self.loss = torch.nan

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note the time."""
        if batch_idx == 0:
            torch.manual_seed(SEED)
        self.begins.append(time.perf_counter())

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss."""
        self.loss = outputs["loss"]

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file, in the first of several processes."""
        if not trainer.is_global_zero:
            return
        content = {"begins": self.begins, "loss": float(self.loss)}
        Path(self.path).write_text(json.dumps(content), encoding="ascii")


def fit_by_command(options: dict[str, Any], steps: int) -> Steps:
    """Train by `rnn-lab fit`, with its checkpoints, monitors and metrics.csv.

    Args:
        options: Data, sizes and device; `layer` and the number of `processes` if they differ from
            an LSTM in one process.
        steps: Number of steps.
    """
    processes = options.get("processes", 1)
    callback = "--trainer.callbacks"
    with tempfile.TemporaryDirectory(prefix="rnn-lab-") as folder:
        path = Path(folder) / "steps.json"
        words = [
            *("fit", "--model=TextClassifier", f"--data={options['data']}"),
            *(f"--model.{name}={options[name]}" for name in SIZES),
            *("--model.pooling=max", "--model.dropouts.embedding=0.4", "--model.dropouts.word=0.1"),
            *("--model.initialization.embedding_std=0.1", f"--data.batch_size={BATCH}"),
            *(f"{callback}+={__name__}.StepTimes", f"{callback}.path={path}"),
            *("--trainer.max_epochs=1", f"--trainer.limit_train_batches={steps}"),
            *("--trainer.limit_val_batches=1", f"--trainer.default_root_dir={folder}"),
            f"--trainer.accelerator={'cpu' if options['device'] == 'cpu' else 'gpu'}",
            f"--model.layer={options.get('layer', 'LSTM')}",
            f"--trainer.devices={processes}",
            f"--trainer.strategy={'ddp' if processes > 1 else 'auto'}",
            f"--trainer.precision={'bf16-mixed' if options['bfloat16'] else '32-true'}",
            f"--seed_everything={SEED}",
        ]
        command = [sys.executable, "-m", "rnn_lab", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not path.exists():
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            raise UserError(f"rnn-lab fit failed: {last}")
        return Steps(**json.loads(path.read_text(encoding="ascii")))


def bare_loop(options: dict[str, Any], steps: int) -> Steps:
    """Train by a loop with the same model, batches, fused Adam and clipping, and nothing else.

    Args:
        options: Data, sizes and device.
        steps: Number of steps.
    """
    seed_everything(SEED, verbose=False)
    data: Any = getattr(datamodules, options["data"])(batch_size=BATCH)
    model = TextClassifier(
        data.vocab_size,
        num_classes=data.num_classes,
        pooling="max",
        dropouts=Dropouts(embedding=0.4, word=0.1),
        initialization=Initialization(embedding_std=0.1),
        **{name: options[name] for name in SIZES},
    )
    device = torch.device(options["device"])
    model.to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    begins: list[float] = []
    for batch in data.train_dataloader():
        begins.append(time.perf_counter())
        if len(begins) == 1:
            torch.manual_seed(SEED)
        with torch.autocast(device.type, torch.bfloat16, options["bfloat16"]):
            loss = model.step(batch.to(device)).loss
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        if len(begins) == steps:
            break
    return Steps(begins, loss.item())
