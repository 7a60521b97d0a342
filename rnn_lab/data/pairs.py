"""Sentences and their translations: the data module, generated pairs, and the user's own files."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar

from platformdirs import user_cache_path

from rnn_lab.batches import PairBatch
from rnn_lab.data.corpus import prepared
from rnn_lab.data.module import LabDataModule, saved
from rnn_lab.data.pair_corpus import FORMAT, Pair, PairCorpus, PairSplit, build_pair_corpus
from rnn_lab.data.readers import read_records
from rnn_lab.data.sentences import PAIR_WORDS, PairReader, SentenceSettings
from rnn_lab.data.vocabulary import SUBWORDS, TokenizerName
from rnn_lab.errors import UserError

log = logging.getLogger(__name__)

PairSources = dict[str, Callable[[], Iterable[Pair]]]


class PairDataModule(LabDataModule):
    """Sentences with their translations: read once, kept as ids, given in batches of like lengths.

    The vocabulary is learned from the training split only. What was prepared lies in the user's
    cache folder under a hash of the files and of the settings.

    Args:
        batch_size: Pairs in a batch of one process.
        batch_tokens: Target words in a training batch of one process, start and end counted;
            takes the place of `batch_size` there.
        source: Code of the language that is read, such as `en`.
        target: Code of the language that is written.
        root: Folder of datasets; None takes `RNN_LAB_DATA`, else the user's cache folder.
        tokenizer: `words`, `whitespace`, `characters`, `bpe` or `unigram`.
        vocab_size: Words or subwords of a side at the most, special ones included; None for no
            limit, of subwords for 8000.
        min_freq: How often a word must occur in training to be known; `unigram` does not ask.
        lowercase: Whether case is dropped.
        moses: Whether punctuation is normalised and text tokenised by the Moses rules of its
            language.
        joint: Whether both languages share one vocabulary.
        max_length: Words of a side in training at the most, pairs with more are left out; None
            for no limit. Nothing is left out in evaluation.
        valid_fraction: Part of the training split to validate on where no split is given, drawn
            by source.
        split_seed: What parts that are drawn depend on.
        reader_from: Checkpoint whose vocabulary is used instead of learning one.
    """

    gives = PairBatch
    local: ClassVar[tuple[str, ...]] = ("root", "reader_from")
    test_fraction: ClassVar[float] = 0.0  # where the publisher gives no test split

    def __init__(
        self,
        batch_size: int = 64,
        *,
        batch_tokens: int | None = None,
        source: str | None = None,
        target: str | None = None,
        root: str | None = None,
        tokenizer: TokenizerName = "bpe",
        vocab_size: int | None = 8000,
        min_freq: int = 1,
        lowercase: bool = False,
        moses: bool = False,
        joint: bool = True,
        max_length: int | None = None,
        valid_fraction: float = 0.1,
        split_seed: int = 0,
        reader_from: str | None = None,
    ) -> None:
        super().__init__(batch_size)
        if not 0 < valid_fraction < 1:
            raise UserError(f"valid_fraction must be between 0 and 1, got {valid_fraction}")
        for name, value, least in (
            ("batch_tokens", batch_tokens, 1),
            ("max_length", max_length, 1),
            ("vocab_size", vocab_size, len(PAIR_WORDS) + 1),
        ):
            if value is not None and value < least:
                raise UserError(f"{name} must be at least {least}, got {value}")
        if moses and (source is None or target is None):
            raise UserError(
                "moses needs to know the languages: give --data.source=en --data.target=de"
            )
        self.batch_tokens = batch_tokens
        self.root = root
        self.max_length = max_length
        self.valid_fraction = valid_fraction
        self.split_seed = split_seed
        self._joint = joint
        most = vocab_size
        if most is not None and tokenizer not in SUBWORDS:
            most -= len(PAIR_WORDS)  # they are counted apart there
        self._settings = [
            SentenceSettings(
                tokenizer, lowercase, min_freq, most, moses=language if moses else None
            )
            for language in (source, target)
        ]
        self._given = read_back(reader_from) if reader_from else None
        self._corpora: dict[tuple[str, ...], PairCorpus] = {}

    def sources(self) -> PairSources:
        """Say how to read the pairs of each split that is given."""
        raise NotImplementedError(f"{type(self).__name__} does not say where its pairs are")

    def content(self, split: str) -> Any:
        """Say what the pairs of a split depend on, as plain values."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its pairs depend on")

    @property
    def settings(self) -> tuple[SentenceSettings, SentenceSettings]:
        """How sources and targets become ids."""
        if self._given:
            return self._given.source.settings, self._given.target.settings
        return self._settings[0], self._settings[1]

    def corpus(self, split: str = "train") -> PairCorpus:
        """Open the prepared corpus that holds a split; prepare it first where it is not yet.

        With the reader of a checkpoint, a split that is given is prepared without the others.
        """
        sources = self.sources()
        if self._given and split in sources and split != "train":
            sources = {split: sources[split]}
        names = tuple(sources)
        if names not in self._corpora:
            self._corpora[names] = self._prepare(sources)
        return self._corpora[names]

    def _prepare(self, sources: Mapping[str, Callable[[], Iterable[Pair]]]) -> PairCorpus:
        settings = self.settings
        options: dict[str, Any] = {
            "joint": self.joint,
            "max_length": self.max_length,
            "valid_fraction": self.valid_fraction,
            "test_fraction": self.test_fraction,
            "split_seed": self.split_seed,
        }
        folder = prepared(
            user_cache_path("rnn_lab") / "prepared",
            {
                "pairs": FORMAT,
                "content": {name: self.content(name) for name in sources},
                "settings": [asdict(one) for one in settings],
                "reader": self._given.state_dict() if self._given else None,
                **options,
            },
            lambda folder: build_pair_corpus(
                folder, sources, settings, reader=self._given, **options
            ),
        )
        corpus = PairCorpus(folder)
        for notice in corpus.notices:
            log.info("%s: %s", type(self).__name__, notice)
        return corpus

    def split(self, name: str) -> PairSplit:
        """Open a split, `train`, `valid` or `test`."""
        given = self.sources()
        splits = self.corpus(name).splits if name in given or "train" in given else {}
        if name not in splits:
            raise UserError(f"{type(self).__name__} has no {name} split: {self.wish(name)}")
        return splits[name]

    def wish(self, split: str) -> str:
        """Say what would give a split that is missing."""
        return f"it gives {', '.join(self.corpus(split).splits)}"

    @property
    def reader(self) -> PairReader:
        """Reads raw sentences as in training, and writes translations."""
        return self._given or self.corpus().reader

    @property
    def joint(self) -> bool:
        """Whether both languages share one vocabulary."""
        return self._given.joint if self._given else self._joint

    @property
    def src_vocab_size(self) -> int:
        """Words in the vocabulary of the source, special ones included."""
        return len(self.reader.source)

    @property
    def trg_vocab_size(self) -> int:
        """Words in the vocabulary of the target, special ones included."""
        return len(self.reader.target)

    def recipe(self) -> dict[str, Any]:
        """Say how to build this module elsewhere and how it reads raw text, as plain values."""
        return {**super().recipe(), "reader": self.reader.state_dict()}


def read_back(checkpoint: str) -> PairReader:
    """Take the reader of pairs out of a checkpoint."""
    data = saved(checkpoint)["data"]
    if "source" not in data.get("reader", {}):
        raise UserError(f"{checkpoint} reads no pairs: it was trained on {data['class_path']}")
    return PairReader.from_state_dict(data["reader"])


def read_parallel(source: Path, target: Path, encoding: str = "utf-8") -> Iterator[Pair]:
    """Read two files line by line: equal lines are a pair, also empty ones.

    Raises:
        UserError: While reading, if one file has more lines, or a line is not of the encoding.
    """
    options: dict[str, Any] = {"format": "txt", "labelled": False, "encoding": encoding}
    sides = (read_records(path, **options) for path in (source, target))
    counts = [0, 0]
    for records in zip_longest(*sides):
        counts = [
            count + (record is not None) for count, record in zip(counts, records, strict=True)
        ]
        if counts[0] == counts[1]:
            yield Pair(*(record.text for record in records))
    if counts[0] != counts[1]:
        raise UserError(
            f"{source} has {counts[0]} lines, {target} has {counts[1]}: pairs need one line each"
        )
