"""Time and memory of preparing large files, each time in a process with an empty cache.

    python -m rnn_lab.benchmarks.preparation WAY FILE

Such a process prepares the file in one way, and prints seconds, memory and counts as JSON.
"""

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnn_lab.benchmarks.comparison import Comparison, Implementation, Sample, Variant
from rnn_lab.benchmarks.generated_files import write_table, write_texts
from rnn_lab.benchmarks.machine import threads_title
from rnn_lab.benchmarks.settings import Settings
from rnn_lab.errors import UserError

TEXT_BYTES, QUICK_TEXT_BYTES = 200_000_000, 2_000_000
ROWS, QUICK_ROWS = 20_000_000, 100_000
PAST = HORIZON = 96
BATCH, BATCHES = 32, 200
TRAINING_ROWS = 0.7  # of a table, as `ForecastingFiles` splits it


def comparisons(settings: Settings, threads: int) -> Iterator[Comparison]:
    """Yield the preparation of a corpus of texts and of a table of series.

    Args:
        settings: Options of the command line.
        threads: Number of threads.
    """
    size = QUICK_TEXT_BYTES if settings.quick else TEXT_BYTES
    rows = QUICK_ROWS if settings.quick else ROWS
    yield _comparison(
        settings,
        f"preparing {size / 1e6:,.0f} MB of texts, {threads_title(threads)}",
        {"kind": "corpus", "size": size},
        [Variant("plain Python", "plain texts"), Variant("TextFiles", "texts")],
        threads,
    )
    yield _comparison(
        settings,
        f"preparing {rows:,} rows of series, {BATCHES} batches, {threads_title(threads)}",
        {"kind": "table", "size": rows},
        [Variant("pandas", "plain series"), Variant("ForecastingFiles", "series")],
        threads,
    )


def _comparison(
    settings: Settings,
    title: str,
    options: dict[str, Any],
    variants: Sequence[Variant],
    threads: int,
) -> Comparison:
    names = [each.name for each in variants]
    unit = "MB" if options["kind"] == "corpus" else "rows"
    return Comparison(
        "data",
        title,
        {**options, **settings.computation()},
        variants,
        names[:1],
        [names],
        unit,
        threads,
    )


def build(options: dict[str, Any], names: Sequence[str]) -> dict[str, Implementation]:
    """Write a file, which is removed when this process ends, and build ways to prepare it."""
    folder = Path(tempfile.mkdtemp(prefix="rnn-lab-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if options["kind"] == "corpus":
        path = folder / "texts.txt"
        items = write_texts(path, options["size"]) / 1e6
    else:
        path = folder / "table.parquet"
        items = write_table(path, options["size"])
    return {name: Preparation(name, path, items) for name in names}


class Prepared(NamedTuple):
    """What a process tells.

    Attributes:
        seconds: Time of the preparation.
        megabytes: Its anonymous memory at the peak; pages of files are not counted, as the
            system takes them back when it wants. None if it is not known.
        counts: What was prepared.
    """

    seconds: float
    megabytes: float | None
    counts: list[int]


class Preparation(Implementation):
    """Prepares a file in a process of its own.

    Args:
        way: A key of `WAYS`.
        path: The file.
        items: Its size in units of the comparison.
    """

    def __init__(self, way: str, path: Path, items: float) -> None:
        self.way, self.path, self.items = way, path, items
        self.first: Prepared | None = None

    def values(self) -> list[float]:
        return list(map(float, self._first().counts))

    def megabytes(self, device: str) -> float | None:
        return self._first().megabytes

    def run(self, number: int) -> Sample:
        return Sample(self._prepare().seconds, self.items)

    def _first(self) -> Prepared:
        self.first = self.first or self._prepare()
        return self.first

    def _prepare(self) -> Prepared:
        with tempfile.TemporaryDirectory(prefix="rnn-lab-") as cache:
            environment = {**os.environ, "XDG_CACHE_HOME": cache, "HOME": cache}
            command = [sys.executable, "-m", __name__, self.way, str(self.path)]
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False
            )
        if done.returncode:
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            raise UserError(f"the preparation by {self.way} failed: {last}")
        return Prepared(**json.loads(done.stdout.splitlines()[-1]))


def plain_texts(path: str) -> list[int]:
    """Read lines of label and text, count words, and convert them to ids: numbers of texts, words.

    Args:
        path: The file.
    """
    texts, counter = [], Counter[str]()
    with open(path, encoding="utf-8") as file:
        for line in file:
            words = line.lower().split()[1:]
            counter.update(words)
            texts.append(words)
    vocabulary = {word: number for number, (word, _) in enumerate(counter.most_common())}
    ids = [np.array([vocabulary[word] for word in words], np.int32) for words in texts]
    return [len(ids), sum(map(len, ids))]


def texts_of_module(path: str) -> list[int]:
    """Prepare the same texts by `TextFiles`, of which a tenth are for validation."""
    from rnn_lab.datamodules import TextFiles

    data = TextFiles(train=path)
    splits = [data.split(name) for name in ("train", "valid")]
    return [sum(map(len, splits)), int(sum(split.lengths.sum() for split in splits))]


def plain_series(path: str) -> list[int]:
    """Read a table by pandas, scale it, and load batches: number of training windows."""
    import pandas as pd
    import torch
    from torch.utils.data import DataLoader

    table = pd.read_parquet(path).drop(columns="date").to_numpy(np.float32)
    training = table[: int(TRAINING_ROWS * len(table))]
    training = (training - training.mean(0)) / training.std(0)
    starts = torch.randperm(len(training) - PAST - HORIZON + 1)
    windows: Any = [int(start) for start in starts[: BATCH * BATCHES]]

    def collate(rows: list[int]) -> tuple[Any, Any]:
        parts = [torch.from_numpy(training[row : row + PAST + HORIZON]) for row in rows]
        batch = torch.stack(parts)
        return batch[:, :PAST], batch[:, PAST:]

    for _ in DataLoader(windows, BATCH, collate_fn=collate):
        pass
    return [len(starts)]


def series_of_module(path: str) -> list[int]:
    """Prepare the same table by `ForecastingFiles`, and load batches."""
    from rnn_lab.datamodules import ForecastingFiles

    data = ForecastingFiles(path, input_length=PAST, horizon=HORIZON, batch_size=BATCH)
    for _ in islice(data.train_dataloader(), BATCHES):
        pass
    return [len(data.split("train"))]


WAYS: dict[str, Callable[[str], list[int]]] = {
    **{"plain texts": plain_texts, "texts": texts_of_module},
    **{"plain series": plain_series, "series": series_of_module},
}


def main(args: Sequence[str]) -> None:
    """Prepare a file and print what it took."""
    import rnn_lab
    from rnn_lab.benchmarks.timing import AnonymousMemory, timed

    rnn_lab.configure_cpu()
    import_module("rnn_lab.datamodules")  # before the time counts
    way, path = args
    counts: list[int] = []
    with AnonymousMemory() as memory:
        seconds = timed(lambda: counts.extend(WAYS[way](path)))
    print(json.dumps(Prepared(seconds, memory.megabytes, counts)._asdict()))


if __name__ == "__main__":
    main(sys.argv[1:])
