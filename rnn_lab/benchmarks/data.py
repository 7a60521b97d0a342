"""Loading of batches and preparation of files, compared with the textbook and plain Python."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader

from rnn_lab import datamodules
from rnn_lab.benchmarks import forecasting, preparation
from rnn_lab.benchmarks.comparison import Comparison, Implementation, Sample, Variant
from rnn_lab.benchmarks.machine import threads_title
from rnn_lab.benchmarks.settings import Settings
from rnn_lab.benchmarks.text import textbook_rows
from rnn_lab.benchmarks.timing import timed
from rnn_lab.benchmarks.training import in_data_root
from rnn_lab.tasks.forecasting.windows import WindowBatchSampler
from rnn_lab.tasks.text_classification.textbook import collate_variable_length

TEXT_BATCH = 64

Batches = Callable[[int], Iterable[Any]]


def comparisons(settings: Settings) -> Iterator[Comparison]:
    """Yield the loading of windows and of texts, and the preparation of files."""
    real = not settings.quick
    series = "ETTh1" if real and in_data_root("ett") else "SyntheticSeries"
    texts = "SST2" if real and in_data_root("sst2") else "SyntheticReviews"
    windows = ["textbook", "data module", "batches without a DataLoader"]
    for threads in settings.threads:
        yield _loading(settings, "windows", series, windows, threads)
        yield _loading(settings, "texts", texts, windows[:2], threads)
        yield from preparation.comparisons(settings, threads)


def _loading(
    settings: Settings, kind: str, source: str, names: Sequence[str], threads: int
) -> Comparison:
    return Comparison(
        "data",
        f"batches of {kind}, {source}, {threads_title(threads)}",
        {"kind": kind, "data": source, **settings.computation()},
        [Variant(name, name) for name in names],
        ["textbook"],
        [list(names)],
        "batches",
        threads,
    )


def build(options: dict[str, Any], names: Sequence[str]) -> dict[str, Implementation]:
    """Build ways to load batches, or to prepare files."""
    builders = {"windows": _windows, "texts": _texts}
    if options["kind"] not in builders:
        return preparation.build(options, names)
    ways = builders[options["kind"]](options["data"])
    return {name: Loading(*ways[name]) for name in names}


class Loading(Implementation):
    """Loads the batches of an epoch, and does nothing with them.

    Args:
        batches: Creates the batches of an epoch from its number.
        total: Sums up a batch; the sum over an epoch does not depend on the order of rows.
    """

    def __init__(self, batches: Batches, total: Callable[[Any], float]) -> None:
        self.batches, self.total = batches, total

    def values(self) -> list[float]:
        return [sum(map(self.total, self.batches(0)))]

    def run(self, number: int) -> Sample:
        count = 0

        def load() -> None:
            nonlocal count
            for _ in self.batches(number):
                count += 1

        seconds = timed(load)
        return Sample(seconds, count)


def _windows(name: str) -> dict[str, tuple[Batches, Callable[[Any], float]]]:
    """Return ways to load windows, with the sum of their inputs and targets."""
    data = forecasting.open_series(name)
    table, windows = forecasting.TextbookWindows(data), data.split("train")
    size = forecasting.BATCH

    def textbook(number: int) -> Iterable[Any]:
        generator = torch.Generator().manual_seed(number)
        return DataLoader(table, size, shuffle=True, generator=generator)

    def direct(number: int) -> Iterable[Any]:
        order = WindowBatchSampler(len(windows), size, shuffle=True, seed=number)
        return (windows[rows] for rows in order)

    def loader(number: int) -> Iterable[Any]:
        return data.train_dataloader()

    def total(batch: Any) -> float:
        return float(batch[0].double().square().sum() + batch[1].double().square().sum())

    ways = {"textbook": textbook, "data module": loader, "batches without a DataLoader": direct}
    return {name: (batches, total) for name, batches in ways.items()}


def _texts(name: str) -> dict[str, tuple[Batches, Callable[[Any], float]]]:
    """Return ways to load texts, with the sum of their ids."""
    data: Any = getattr(datamodules, name)(batch_size=TEXT_BATCH)
    examples: Any = [row for batch in data.train_dataloader() for row in textbook_rows(batch)]

    def textbook(number: int) -> Iterable[Any]:
        return DataLoader(
            examples,
            TEXT_BATCH,
            shuffle=True,
            collate_fn=collate_variable_length,
            generator=torch.Generator().manual_seed(number),
        )

    def loader(number: int) -> Iterable[Any]:
        return data.train_dataloader()

    def total(batch: Any) -> float:
        return float(batch[0].sum())  # padding is zero

    return {"textbook": (textbook, total), "data module": (loader, total)}
