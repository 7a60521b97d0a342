"""Corpus of sentence pairs."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnn_lab.io.progress import progress
from rnn_lab.io.ragged import open_memmap
from rnn_lab.io.summaries import describe_lengths
from rnn_lab.tasks.translation.batch import PairBatch
from rnn_lab.tasks.translation.tokenizer import (
    SentenceTokenizerConfig,
    TranslationTokenizer,
    normalize,
)
from rnn_lab.text.corpus import (
    Corpus,
    DrawnSplits,
    RecordCorpusBuilder,
    RecordDataset,
    RecordSplit,
    Row,
)
from rnn_lab.text.tokenizer import encode_in_chunks

SIDES = ("source", "target")
NUM_MARKERS = (1, 2)  # end token of a source, start and end token of a target


class Pair(NamedTuple):
    """A raw sentence and its translation."""

    source: str
    target: str


class PairDataset(RecordDataset):
    """Sentence pairs of one split, read from disk on demand; training has no references.

    Args:
        folder: Folder of the corpus.
        name: The split, `train`, `valid` or `test`.
    """

    columns = SIDES

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each source and target, start and end tokens included, `(rows, 2)` int64."""
        return np.stack([np.diff(offsets) for offsets in self.offsets], 1)

    def source(self, row: int) -> str:
        """Return the raw source of a row."""
        return self.raw_text(row, 0)

    def target(self, row: int) -> str:
        """Return the raw target of a row."""
        return self.raw_text(row, 1)

    def __getitem__(self, rows: np.ndarray) -> PairBatch:
        """Gather rows into a padded batch."""
        src, src_lengths = self.gather(rows, 0)
        trg, trg_lengths = self.gather(rows, 1)
        references = () if self.name == "train" else tuple(map(self.target, rows))
        return PairBatch(src, trg, src_lengths, trg_lengths, references)


class PairCorpus(Corpus):
    """An opened corpus of sentence pairs.

    Args:
        folder: Folder of the corpus.
    """

    tokenizer_class = TranslationTokenizer
    splits: dict[str, PairDataset]

    def open_split(self, folder: Path, name: str) -> PairDataset:
        """Open a split."""
        return PairDataset(folder, name)


class PairCorpusBuilder(RecordCorpusBuilder):
    """Build a corpus of sentence pairs.

    Args:
        settings: Tokenizer options of sources and targets.
        tokenizer: Tokenizers to use; None: learn them from the training split.
        joint: If True, both languages share one vocabulary.
        max_length: Limit on the tokens of a side in training; longer pairs are left out.
        drawn: How missing splits are drawn from the training split; pairs with equal sources are
            drawn together.
    """

    corpus_class = PairCorpus
    columns, records_name, compared = SIDES, "pairs", "test sources"
    temporary_columns = ("normalized_source", "normalized_target")

    def __init__(
        self,
        settings: tuple[SentenceTokenizerConfig, SentenceTokenizerConfig],
        tokenizer: TranslationTokenizer | None = None,
        *,
        joint: bool,
        max_length: int | None = None,
        drawn: DrawnSplits = DrawnSplits(),  # noqa: B008  # it is frozen
    ) -> None:
        super().__init__(tokenizer)
        self.drawn = drawn
        self.settings = settings
        self.joint = joint
        self.max_length = max_length

    @property
    def key(self) -> dict[str, Any]:
        """See `CorpusBuilder`."""
        moses = any(settings.moses for settings in self.settings)
        return {
            "settings": [asdict(settings) for settings in self.settings],
            "moses": version("sacremoses") if moses else None,
            "tokenizer": self.tokenizer.state_dict() if self.tokenizer else None,
            "joint": self.joint,
            "max_length": self.max_length,
            "drawn": self.drawn._asdict(),
        }

    def texts(self, record: Pair) -> tuple[tuple[str, ...], None]:
        """Return both sides, raw and normalized."""
        return (*record, *map(normalize, record, self.settings)), None

    def learn(self, train: RecordSplit) -> TranslationTokenizer:
        """Learn the vocabularies from the training split."""
        texts = (
            progress(side, "learning the vocabulary", len(train.rows))
            for side in self._normalized(train)
        )
        return TranslationTokenizer.learn(*self.settings, *texts, joint=self.joint)

    def encode(self, split: RecordSplit) -> Iterator[Row]:
        """Encode both sides of the pairs of a split."""
        encoders = (self.tokenizer.encode_sources, self.tokenizer.encode_targets)
        chunks = (
            encode_in_chunks(partial(encode, normalized=True), texts)
            for encode, texts in zip(encoders, self._normalized(split), strict=True)
        )
        sides = (chain.from_iterable(ids for _, ids in side) for side in chunks)
        return zip(*sides, strict=True)

    def _normalized(self, split: RecordSplit) -> tuple[Iterator[str], ...]:
        texts = split.store.texts
        return tuple(texts[column].read(split.rows) for column in self.temporary_columns)

    def validate(self, row: Row, training: bool) -> tuple[Row | None, str]:
        """Leave out pairs with an empty or a too long side in training."""
        counts = [len(ids) - markers for ids, markers in zip(row, NUM_MARKERS, strict=True)]
        if min(counts) == 0:
            return None if training else row, "empty"
        if training and self.max_length is not None and max(counts) > self.max_length:
            return None, "long"
        return row, ""

    def write_split(self, folder: Path, name: str, split: RecordSplit) -> np.ndarray:
        """Encode and write both sides of a split; describe the lengths of the training split."""
        rows = super().write_split(folder, name, split)
        if name == "train":
            self.notices.append(f"the train split has {len(rows):,} pairs")
            for side, markers in zip(SIDES, NUM_MARKERS, strict=True):
                offsets = open_memmap(folder / f"{name}.{side}.offsets.bin", "<i8")
                self.notices.append(describe_lengths(side, np.diff(offsets) - markers))
        return rows

    def describe(self, name: str, problem: str, count: int) -> str:
        """Return the message on the number of empty or long pairs."""
        if problem == "long":
            limit = f"more than {self.max_length} tokens per side"
            return f"{count} pairs of the {name} split are left out: {limit}"
        action = "left out" if name == "train" else "kept"
        return f"{count} pairs of the {name} split have an empty side and are {action}"
