"""Count rows, lengths and duplicates of the benchmark datasets for the table in the site.

python docs/count_datasets.py    writes the table to docs/reference/datasets.md (a minute)

Splits are counted as published, before the package draws one from the training split. Only
files that lie in the data root (`RNN_LAB_DATA`) are counted: nothing is downloaded.
"""

import inspect
import re
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

from dataset_cards import benchmarks, remote_files

import rnn_lab
from rnn_lab.io.downloads import find_local
from rnn_lab.tasks.forecasting.panel.splits import split_rows
from rnn_lab.tasks.sequence_classification.data import read_labeled_sequences

PAGE = Path(__file__).parent / "reference" / "datasets.md"
HEADER = """\
| Dataset | Split | Rows | Length of a row | Mean | Longest | Copies | Also in train |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""
Rows = list[tuple[Hashable, int]]  # what a model reads, and its length


def table() -> str:
    """Return the table of all datasets that can be counted here."""
    return HEADER + "".join(f"{line}\n" for name in benchmarks() for line in count(name))


def count(name: str) -> Iterator[str]:
    """Yield a line of the table for each split of a dataset whose files are there."""
    cls = benchmarks()[name]
    train: set[Hashable] = set()
    for split in ("train", "valid", "test"):
        if not is_local(cls, split):
            continue
        unit, rows = read(cls(), split)
        if not rows:
            continue
        distinct, lengths = {row for row, _ in rows}, [length for _, length in rows]
        cells = [name, split, f"{len(rows):,}", unit]
        cells += [f"{sum(lengths) / len(rows):,.1f}", f"{max(lengths):,}"]
        cells.append(f"{len(rows) - len(distinct):,}")
        known = sum(row in train for row, _ in rows)
        cells.append("" if split == "train" else f"{known:,}" if train else "not counted")
        yield f"| {' | '.join(cells)} |"
        if split == "train":
            train = distinct


def is_local(cls: Any, split: str) -> bool:
    """Return whether the files of a split are in the data root."""
    if cls is rnn_lab.IMDB and find_local(cls.folder, cls.archive):
        return True
    declared = dict(inspect.getmembers_static(cls))
    by_split = declared.get("files", declared.get("split_archives", {}))
    files = [by_split[split]] if split in by_split else remote_files(cls)
    return all(find_local(cls.folder, file) for file in files)


def read(data: Any, split: str) -> tuple[str, Rows]:
    """Return the unit of lengths, and the rows of a published split; none if there is no such."""
    task = type(data).__module__.split(".")[2]
    if task == "forecasting":
        ((first, end),) = split_rows(data.panel, data.split_spec)[split]
        return "step", [(row.tobytes(), 1) for row in data.panel.values[first:end]]
    if task == "sequence_classification":
        path = data.path(split)
        sequences = read_labeled_sequences(path).sequences if path else []
        return "steps", [(values.tobytes(), len(values)) for values in sequences]
    texts = [_text(task, record) for record in data.sources().get(split, list)()]
    if data.tokenizer_options.kind == "characters":
        return "characters", [(text, len(text)) for text in texts if text.strip()]
    return "words", [(text, len(text.split())) for text in texts if text.strip()]


def _text(task: str, record: Any) -> str:
    """Return a line, the source sentence of a pair, or the text of a labeled record."""
    if task == "language_modeling":
        return str(record)
    return str(record.source if task == "translation" else record.text)


def counted(page: str) -> str:
    """Return the table that a page has."""
    found = re.search(re.escape(HEADER) + r"(\|.*\n)*", page)
    return found[0] if found else ""


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text.replace(counted(text), table()), encoding="utf-8")
