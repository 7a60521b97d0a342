"""A corpus of sentences and their translations: prepared once, opened memory-mapped.

Laid out as in `corpus.py`. Each source of pairs has four files of texts, `spool.<name>.source` and
`.target` as they were read and `normal.<name>.*` as they are tokenized; each split has its ids.
"""

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnn_lab.errors import UserError
from rnn_lab.io.hashing import hash64, sample_by_hash
from rnn_lab.io.progress import progress
from rnn_lab.io.ragged import RaggedArrayWriter, TextStore, open_memmap
from rnn_lab.tasks.translation.batch import PairBatch
from rnn_lab.tasks.translation.tokenizer import (
    SentenceTokenizerConfig,
    TranslationTokenizer,
    normalize,
)
from rnn_lab.text.padding import gather_padded
from rnn_lab.text.tokenizer import encode_in_chunks

FORMAT = 1  # raise it when anything below changes what is written
SIDES = ("source", "target")
ENDS = (1, 2)  # ids of a side that are no word: the end of the source, both of the target


class Pair(NamedTuple):
    """A sentence and its translation, as they were written."""

    source: str
    target: str


class PairSplit:
    """The pairs of one split, read from the disk as they are asked for.

    Args:
        folder: The folder of the corpus.
        name: The split, `train`, `valid` or `test`; pairs of the first come without references.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._ids = [open_memmap(folder / f"{name}.{side}.bin", "<i4") for side in SIDES]
        self._offsets = [
            open_memmap(folder / f"{name}.{side}.offsets.bin", "<i8") for side in SIDES
        ]
        self._rows = open_memmap(folder / f"{name}.rows.bin", "<i8")
        spool = (folder / f"{name}.spool").read_text()
        self._sources, self._targets = (
            TextStore(folder, f"spool.{spool}.{side}") for side in SIDES
        )

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def lengths(self) -> np.ndarray:
        """Ids of each source and target, their ends included, `(rows, 2)` int64."""
        return np.stack([np.diff(offsets) for offsets in self._offsets], 1)

    def source(self, row: int) -> str:
        """The source of a row as it was written."""
        return self._sources[self._rows[row]]

    def target(self, row: int) -> str:
        """The target of a row as it was written."""
        return self._targets[self._rows[row]]

    def __getitem__(self, rows: np.ndarray) -> PairBatch:
        """Gather rows into one padded batch."""
        src, src_lengths = gather_padded(self._ids[0], self._offsets[0], rows)
        trg, trg_lengths = gather_padded(self._ids[1], self._offsets[1], rows)
        references = () if self.name == "train" else tuple(map(self.target, rows))
        return PairBatch(src, trg, src_lengths, trg_lengths, references)


class PairCorpus:
    """A prepared corpus of pairs: its splits, its reader, and what was noticed on the way.

    Args:
        folder: Where it was prepared.
    """

    def __init__(self, folder: Path) -> None:
        meta = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
        self.notices: list[str] = meta["notices"]
        self.reader = TranslationTokenizer.from_state_dict(meta["reader"])
        self.splits = {name: PairSplit(folder, name) for name in meta["splits"]}


class RawPairStore:
    """The pairs of one source, written down once, raw and normalized.

    Args:
        folder: The folder of the corpus.
        name: The split that they are given as.
        pairs: What is written down.
        settings: How sources and targets are normalized.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        pairs: Iterable[Pair],
        settings: tuple[SentenceTokenizerConfig, SentenceTokenizerConfig],
    ) -> None:
        self.name = name
        names = [f"{kind}.{name}.{side}" for kind in ("spool", "normal") for side in SIDES]
        digests = array("Q")
        with ExitStack() as files:
            flats = [
                files.enter_context(closing(RaggedArrayWriter(folder, one, "B"))) for one in names
            ]
            for pair in progress(pairs, f"reading {name}"):
                normal = map(normalize, pair, settings)
                for flat, text in zip(flats, (*pair, *normal), strict=True):
                    flat.append(text.encode())
                digests.append(hash64(pair.source.encode()))
        self.normal = [TextStore(folder, one) for one in names[2:]]
        self.digests = np.frombuffer(digests, np.uint64)

    def __len__(self) -> int:
        return len(self.digests)

    def divide(self, fraction: float, rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Take a part of the rows, drawn by the seed and the sources alone.

        Pairs of one source go to the same side.

        Returns:
            The rows that stay and the rows taken, both ascending.
        """
        taken = sample_by_hash(self.digests[rows], fraction, seed)
        return rows[~taken], rows[taken]


def build_pair_corpus(
    folder: Path,
    sources: Mapping[str, Callable[[], Iterable[Pair]]],
    settings: tuple[SentenceTokenizerConfig, SentenceTokenizerConfig],
    *,
    joint: bool,
    reader: TranslationTokenizer | None = None,
    max_length: int | None = None,
    valid_fraction: float = 0.1,
    test_fraction: float = 0.0,
    split_seed: int = 0,
) -> None:
    """Write a corpus.

    Args:
        folder: An empty folder.
        sources: The pairs of each split that is given, by its name.
        settings: How sources and targets become ids.
        joint: Whether both sides share one vocabulary.
        reader: Reads the pairs; None learns one from the training split.
        max_length: Words of a side in training at the most; pairs with more are left out.
        valid_fraction: Part of the training split to validate on where no split is given.
        test_fraction: Part of the training split to test on where no split is given.
        split_seed: What these parts depend on.

    Raises:
        UserError: If a split has no pair.
    """
    spools = {name: RawPairStore(folder, name, read(), settings) for name, read in sources.items()}
    parts = {name: (spool, np.arange(len(spool))) for name, spool in spools.items()}
    notices = _count_duplicates(spools)
    for name, fraction in (("test", test_fraction), ("valid", valid_fraction)):
        if "train" in parts and name not in parts and fraction > 0:
            spool, rows = parts["train"]
            rows, taken = spool.divide(fraction, rows, split_seed)
            parts["train"], parts[name] = (spool, rows), (spool, taken)
    if reader is None:
        spool, rows = parts["train"]
        words = "learning the vocabulary"
        texts = (progress(side.read(rows), words, len(rows)) for side in spool.normal)
        reader = TranslationTokenizer.learn(*settings, *texts, joint=joint)
    for name, (spool, rows) in parts.items():
        notices += _write_split(folder, name, spool, rows, reader, max_length)
    for file in folder.glob("normal.*"):
        file.unlink()
    meta = {"notices": notices, "reader": reader.state_dict(), "splits": list(parts)}
    (folder / "corpus.json").write_text(json.dumps(meta), encoding="utf-8")


def _count_duplicates(spools: Mapping[str, RawPairStore]) -> list[str]:
    if "train" not in spools or "test" not in spools:
        return []
    count = int(np.isin(spools["test"].digests, spools["train"].digests).sum())
    return [f"{count} test sources also occur in the training split"] if count else []


def _write_split(
    folder: Path,
    name: str,
    spool: RawPairStore,
    rows: np.ndarray,
    reader: TranslationTokenizer,
    max_length: int | None,
) -> list[str]:
    """Encode the rows of a split; returns what was noticed."""
    kept = array("q")
    empty = long = 0
    with ExitStack() as files:
        flats = [
            files.enter_context(closing(RaggedArrayWriter(folder, f"{name}.{s}", "i")))
            for s in SIDES
        ]
        for row, sides in zip(rows, _encoded(spool, rows, reader, name), strict=True):
            words = [len(ids) - ends for ids, ends in zip(sides, ENDS, strict=True)]
            empty += min(words) == 0
            if name == "train" and min(words) == 0:
                continue
            if name == "train" and max_length is not None and max(words) > max_length:
                long += 1
                continue
            for flat, ids in zip(flats, sides, strict=True):
                flat.append(ids)
            kept.append(row)
    if not kept:
        wish = "" if name == spool.name else f": give --data.{name}, or more pairs to draw it from"
        raise UserError(f"the {name} split has no pair to read{wish}")
    np.frombuffer(kept, np.int64).tofile(folder / f"{name}.rows.bin")
    (folder / f"{name}.spool").write_text(spool.name)
    done = "left out" if name == "train" else "kept in their place"
    notices = [f"{empty} pairs of the {name} split have an empty side and are {done}"]
    notices += [f"{long} pairs of the {name} split are left out: over {max_length} words a side"]
    return [notice for count, notice in zip((empty, long), notices, strict=True) if count]


def _encoded(
    spool: RawPairStore, rows: np.ndarray, reader: TranslationTokenizer, name: str
) -> Iterator[tuple[list[int], ...]]:
    """Read rows of both sides as ids, in order."""
    encoders = (reader.encode_sources, reader.encode_targets)
    chunks = (
        encode_in_chunks(partial(encode, normalized=True), texts.read(rows))
        for encode, texts in zip(encoders, spool.normal, strict=True)
    )
    sides = (chain.from_iterable(ids for _, ids in side) for side in chunks)
    return progress(zip(*sides, strict=True), f"encoding {name}", len(rows))
