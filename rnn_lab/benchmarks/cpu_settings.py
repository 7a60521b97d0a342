"""What `rnn_lab.configure_cpu` gains, and what is lost where it comes late."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

import rnn_lab
from rnn_lab.benchmarks.comparison import Comparison, Implementation, Variant
from rnn_lab.benchmarks.machine import AS_SHIPPED, threads_title
from rnn_lab.benchmarks.settings import Settings
from rnn_lab.benchmarks.training import Fit, Workload, first_batches
from rnn_lab.models import LSTMClassifier
from rnn_lab.tasks.text_classification.batch import TextBatch

WORDS, FIRST_WORD = 5000, 4
SIZES = {"length": 400, "batch_size": 16, "hidden_dim": 128, "steps": 10}
QUICK_SIZES = SIZES | {"length": 100, "steps": 5}
PROCESS = "RNN_LAB_BENCH_PROCESS"  # environment variable that gives each way its own process


def comparisons(settings: Settings, threads: int) -> Iterator[Comparison]:
    """Yield the comparison of four ways to set the CPU.

    Args:
        settings: Options of the command line.
        threads: Number of threads.
    """
    sizes = QUICK_SIZES if settings.quick else SIZES
    yield Comparison(
        "trainer",
        f"settings of the CPU, {sizes['batch_size']} x {sizes['length']} x {sizes['hidden_dim']}, "
        f"{threads_title(threads)}",
        {**sizes, "configure_cpu": False, **settings.computation()},
        [
            Variant("at the start", "start", {PROCESS: "start"}),
            Variant("in the first hook", "hook", {PROCESS: "hook"}),
            Variant("after threads have started", "late", {PROCESS: "late"}),
            Variant("PyTorch's", "shipped", AS_SHIPPED),
        ],
        ["at the start"],
        [["at the start", "in the first hook", "after threads have started", "PyTorch's"]],
        "steps",
        threads,
        settings.tolerance,
    )


def build(options: dict[str, Any], names: Sequence[str]) -> dict[str, Implementation]:
    """Build one way, which sets the CPU of this whole process.

    The ways are: `start`, the first call is `rnn_lab.configure_cpu()`, as on the command line;
    `hook`, the Task sets it in the first hook that the Trainer calls; `late`, the same after a
    parallel operation has started PyTorch's threads; `shipped`, environment variables prevent it.
    """
    (name,) = names
    if name == "start":
        rnn_lab.configure_cpu()
    if name in ("start", "late"):
        torch.rand(1000, 1000).mul(2)
    loader: Any = DataLoader(RandomTexts(options), batch_size=None)
    torch.manual_seed(0)
    model = LSTMClassifier(WORDS, 100, options["hidden_dim"])
    workload = Workload(
        model,
        lambda batch: model.step(batch).loss,
        lambda number: first_batches(loader, options["steps"]),
        lambda: first_batches(loader, 0),
        lambda batch: 1,
    )
    return {name: Fit(workload, loader, options["steps"], options["device"], options["bfloat16"])}


class RandomTexts(Dataset[TextBatch]):
    """Batches of random words, all of one length.

    Args:
        options: `batch_size`, `length` and `steps`.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.shape, self.steps = (options["batch_size"], options["length"]), options["steps"]

    def __len__(self) -> int:
        return self.steps + 1

    def __getitem__(self, number: int) -> TextBatch:
        generator = torch.Generator().manual_seed(number)
        rows, length = self.shape
        tokens = torch.randint(FIRST_WORD, WORDS, self.shape, generator=generator)
        labels = torch.randint(2, (rows,), generator=generator)
        return TextBatch(tokens, labels, torch.full((rows,), length))
