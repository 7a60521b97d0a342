"""A corpus of labeled texts: prepared once, opened memory-mapped.

A corpus is a folder. `spool.*` hold the texts of each source as they were read, `<split>.*` the
ids of its rows.
"""

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rnn_lab.errors import UserError
from rnn_lab.io.cache import get_or_build
from rnn_lab.io.hashing import hash64, sample_by_hash
from rnn_lab.io.progress import progress
from rnn_lab.io.ragged import RaggedArrayWriter, TextStore, open_memmap
from rnn_lab.io.records import Record
from rnn_lab.special_tokens import UNK_ID
from rnn_lab.tasks.text_classification.batch import TextBatch
from rnn_lab.tasks.text_classification.tokenizer import (
    TruncatingTokenizer,
    TruncatingTokenizerConfig,
)
from rnn_lab.text.padding import gather_padded
from rnn_lab.text.tokenizer import encode_in_chunks


class Split:
    """The rows of one split, read from the disk as they are asked for.

    Args:
        folder: The folder of the corpus.
        name: The split, `train`, `valid` or `test`.
        num_classes: Number of labels.
        multi_label: Whether a text may have several labels.
    """

    def __init__(self, folder: Path, name: str, num_classes: int, multi_label: bool) -> None:
        self.name = name
        self.num_classes = num_classes
        self.multi_label = multi_label
        self.ids = open_memmap(folder / f"{name}.ids.bin", "<i4")
        self.offsets = open_memmap(folder / f"{name}.ids.offsets.bin", "<i8")
        self.labels = open_memmap(folder / f"{name}.labels.bin", "<i8" if not multi_label else "u1")
        if multi_label:
            self.labels = self.labels.reshape(-1, num_classes)
        self._rows = open_memmap(folder / f"{name}.rows.bin", "<i8")
        spool = (folder / f"{name}.spool").read_text()
        self._texts = TextStore(folder, f"spool.{spool}")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Words in each row, `(rows,)` int64."""
        return np.diff(self.offsets)

    @property
    def class_counts(self) -> list[int]:
        """How many rows have each label."""
        if self.multi_label:
            return self.labels.sum(0, dtype=np.int64).tolist()
        return np.bincount(self.labels, minlength=self.num_classes).tolist()

    def text(self, row: int) -> str:
        """The raw text of a row."""
        return self._texts[self._rows[row]]

    def __getitem__(self, rows: np.ndarray) -> TextBatch:
        """Gather rows into one padded batch."""
        tokens, lengths = gather_padded(self.ids, self.offsets, rows)
        labels = torch.from_numpy(self.labels[rows])
        return TextBatch(tokens, labels.float() if self.multi_label else labels, lengths)


class Corpus:
    """A prepared corpus: its splits, its tokenizer, its labels, and what was noticed on the way.

    Args:
        folder: Where `prepare` has put it.
    """

    def __init__(self, folder: Path) -> None:
        meta = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
        self.labels: list[str] = meta["labels"]
        self.multi_label: bool = meta["multi_label"]
        self.notices: list[str] = meta["notices"]
        self.tokenizer = TruncatingTokenizer.from_state_dict(meta["tokenizer"])
        self.splits = {
            name: Split(folder, name, len(self.labels), self.multi_label) for name in meta["splits"]
        }


def prepare(folder: Path, key: Mapping[str, Any], build: Callable[[Path], None]) -> Corpus:
    """Open the corpus that the key describes; see `get_or_build`, which builds it where it must."""
    return Corpus(get_or_build(folder, key, build))


class RawTextStore:
    """The texts of one source, written down once so that every later pass is a plain read."""

    def __init__(self, folder: Path, name: str, records: Iterable[Record]) -> None:
        self.name = name
        digests, self.labels = array("Q"), array("q")
        self.label_names: dict[tuple[str, ...], int] = {}
        with closing(RaggedArrayWriter(folder, f"spool.{name}", "B")) as texts:
            for text, labels in progress(records, f"reading {name}"):
                raw = text.encode()
                texts.append(raw)
                digests.append(hash64(raw))
                self.labels.append(self.label_names.setdefault(labels, len(self.label_names)))
        self._texts = TextStore(folder, f"spool.{name}")
        self.digests = np.frombuffer(digests, np.uint64)

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, rows: np.ndarray) -> Iterator[str]:
        """Read some rows, in ascending order, from the file."""
        return self._texts.read(rows)

    def divide(self, fraction: float, rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Take a part of the rows of each label, drawn by the seed and the text alone.

        Equal texts of one label go to the same side.

        Returns:
            The rows that stay and the rows taken, both ascending.
        """
        labels = np.frombuffer(self.labels, np.int64)[rows]
        taken = np.zeros(len(rows), bool)
        for label in np.unique(labels):
            same = np.flatnonzero(labels == label)
            taken[same] = sample_by_hash(self.digests[rows[same]], fraction, seed)
        return rows[~taken], rows[taken]


def build_corpus(
    folder: Path,
    sources: Mapping[str, Callable[[], Iterable[Record]]],
    settings: TruncatingTokenizerConfig,
    *,
    labels: list[str] | None = None,
    multi_label: bool = False,
    tokenizer: TruncatingTokenizer | None = None,
    valid_fraction: float = 0.1,
    test_fraction: float = 0.0,
    split_seed: int = 0,
) -> None:
    """Write a corpus.

    Args:
        folder: An empty folder.
        sources: The records of each split that is given, by its name.
        settings: How texts become ids, where there is no tokenizer yet.
        labels: The labels in the order of their ids; None takes those of the training split,
            sorted.
        multi_label: Whether a text may have several labels.
        tokenizer: Reads the texts; None learns one from the training split.
        valid_fraction: Part of the training split to validate on where no split is given.
        test_fraction: Part of the training split to test on where no split is given.
        split_seed: What these parts depend on.

    Raises:
        UserError: If the training split is empty or an unknown label occurs.
    """
    spools = {name: RawTextStore(folder, name, read()) for name, read in sources.items()}
    parts = {name: (spool, np.arange(len(spool))) for name, spool in spools.items()}
    notices = _count_duplicates(spools)
    for name, fraction in (("test", test_fraction), ("valid", valid_fraction)):
        if "train" in parts and name not in parts and fraction > 0:
            spool, rows = parts["train"]
            rows, taken = spool.divide(fraction, rows, split_seed)
            parts["train"], parts[name] = (spool, rows), (spool, taken)
    if labels is None:
        names = spools["train"].label_names
        labels = sorted({label for together in names for label in together}, key=_natural)
    if tokenizer is None:
        spool, rows = parts["train"]
        texts = progress(spool.read(rows), "learning the vocabulary", len(rows))
        tokenizer = TruncatingTokenizer.learn(settings, texts)
    for name, (spool, rows) in parts.items():
        notices += _write_split(folder, name, spool, rows, tokenizer, labels, multi_label)
    meta = {
        "labels": labels,
        "multi_label": multi_label,
        "notices": notices,
        "tokenizer": tokenizer.state_dict(),
        "splits": list(parts),
    }
    (folder / "corpus.json").write_text(json.dumps(meta), encoding="utf-8")


def _natural(label: str) -> tuple[float, str]:
    """Numbers in their order, then words in theirs."""
    return (float(label), label) if label.isdecimal() else (float("inf"), label)


def _count_duplicates(spools: Mapping[str, RawTextStore]) -> list[str]:
    if "train" not in spools or "test" not in spools:
        return []
    count = int(np.isin(spools["test"].digests, spools["train"].digests).sum())
    return [f"{count} test texts also occur in the training split"] if count else []


def _write_split(
    folder: Path,
    name: str,
    spool: RawTextStore,
    rows: np.ndarray,
    tokenizer: TruncatingTokenizer,
    labels: list[str],
    multi_label: bool,
) -> list[str]:
    """Encode the rows of a split; returns what was noticed."""
    targets = _targets(name, spool, labels, multi_label)
    empty = 0
    kept = array("q")
    texts = progress(spool.read(rows), f"encoding {name}", len(rows))
    with closing(RaggedArrayWriter(folder, f"{name}.ids", "i")) as ids:
        for first, encoded in encode_in_chunks(tokenizer.encode, texts):
            for row, words in zip(rows[first:], encoded, strict=False):
                if not words:
                    empty += 1
                    if name == "train":
                        continue
                    words = [UNK_ID]
                ids.append(words)
                kept.append(row)
    rows = np.frombuffer(kept, np.int64)
    if not len(rows):
        wish = "" if name == spool.name else f": give --data.{name}, or more texts to draw it from"
        raise UserError(f"the {name} split has no text to read{wish}")
    rows.tofile(folder / f"{name}.rows.bin")
    targets[np.frombuffer(spool.labels, np.int64)[rows]].tofile(folder / f"{name}.labels.bin")
    (folder / f"{name}.spool").write_text(spool.name)
    if not empty:
        return []
    done = "left out" if name == "train" else "read as one unknown word"
    return [f"{empty} empty texts of the {name} split are {done}"]


def _targets(name: str, spool: RawTextStore, labels: list[str], multi_label: bool) -> np.ndarray:
    """The target of each combination of labels that the spool has seen."""
    if not spool.label_names:
        return np.empty(0, np.int64)
    place = {label: i for i, label in enumerate(labels)}
    combinations = np.zeros((len(spool.label_names), len(labels)), np.uint8)
    for together, number in spool.label_names.items():
        if len(together) != 1 and not multi_label:
            raise UserError(
                f"the {name} split has a text with {len(together)} labels ({', '.join(together)}): "
                "give --data.label_separator where a text may have several"
            )
        for label in together:
            if label not in place:
                known = ", ".join(labels[:20])
                raise UserError(f"the {name} split has the label {label!r}; known are {known}")
            combinations[number, place[label]] = 1
    return combinations if multi_label else combinations.argmax(1).astype(np.int64)
