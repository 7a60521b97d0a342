"""Sentences and their translations: the data module, generated pairs, and the user's own files."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from platformdirs import user_cache_path

import rnn_lab
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.errors import UserError
from rnn_lab.io.cache import get_or_build
from rnn_lab.io.hashing import file_sha256
from rnn_lab.io.records import read_records
from rnn_lab.tasks.translation.batch import PairBatch
from rnn_lab.tasks.translation.corpus import FORMAT, Pair, PairCorpus, build_pair_corpus
from rnn_lab.tasks.translation.dates import dates, source_version
from rnn_lab.tasks.translation.tokenizer import (
    PAIR_WORDS,
    SentenceTokenizerConfig,
    TranslationTokenizer,
)
from rnn_lab.text.datamodule import CorpusDataModule
from rnn_lab.text.tokenizer import SUBWORDS, TokenizerKind

PairSources = dict[str, Callable[[], Iterable[Pair]]]


class PairDataModule(CorpusDataModule):
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
        moses: Whether punctuation is normalized and text tokenized by the Moses rules of its
            language; `words` are then those that these rules give.
        joint: Whether both languages share one vocabulary.
        max_length: Words of a side in training at the most, pairs with more are left out; None
            for no limit. Nothing is left out in evaluation.
        valid_fraction: Part of the training split to validate on where no split is given, drawn
            by source: all pairs of a sentence go to the same side.
        split_seed: What parts that are drawn depend on.
        vocab_from_checkpoint: Checkpoint whose vocabulary is used instead of learning one.
    """

    batch_type = PairBatch
    linked = ("src_vocab_size", "trg_vocab_size")
    checkpoint_argument = "vocab_from_checkpoint"
    languages: ClassVar[tuple[str, ...]] = ()  # what there is to choose from; none where any goes
    machine_specific: ClassVar[tuple[str, ...]] = ("root", "vocab_from_checkpoint")
    test_fraction: ClassVar[float] = 0.0  # where the publisher gives no test split

    def __init__(
        self,
        batch_size: int = 64,
        *,
        batch_tokens: int | None = None,
        source: str | None = None,
        target: str | None = None,
        root: str | None = None,
        tokenizer: TokenizerKind = "bpe",
        vocab_size: int | None = 8000,
        min_freq: int = 1,
        lowercase: bool = False,
        moses: bool = False,
        joint: bool = True,
        max_length: int | None = None,
        valid_fraction: float = 0.05,
        split_seed: int = 0,
        vocab_from_checkpoint: str | None = None,
    ) -> None:
        super().__init__(batch_size)
        if self.languages and {source, target} != set(self.languages):
            raise UserError(
                f"{type(self).__name__} has {' and '.join(self.languages)}: give one as source and "
                f"the other as target, got {source} and {target}"
            )
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
            SentenceTokenizerConfig(
                tokenizer, lowercase, min_freq, most, moses=language if moses else None
            )
            for language in (source, target)
        ]
        self._restored = read_back(vocab_from_checkpoint) if vocab_from_checkpoint else None

    @property
    def settings(self) -> tuple[SentenceTokenizerConfig, SentenceTokenizerConfig]:
        """How sources and targets become ids."""
        if self._restored:
            return self._restored.source.settings, self._restored.target.settings
        return self._settings[0], self._settings[1]

    def _prepare(self, sources: Mapping[str, Callable[[], Iterable[Pair]]]) -> PairCorpus:
        settings = self.settings
        options: dict[str, Any] = {
            "joint": self.joint,
            "max_length": self.max_length,
            "valid_fraction": self.valid_fraction,
            "test_fraction": self.test_fraction,
            "split_seed": self.split_seed,
        }
        folder = get_or_build(
            user_cache_path("rnn_lab") / "prepared",
            {
                "pairs": FORMAT,
                "content": {name: self.fingerprint(name) for name in sources},
                "settings": [asdict(one) for one in settings],
                "moses": version("sacremoses") if any(one.moses for one in settings) else None,
                "reader": self._restored.state_dict() if self._restored else None,
                **options,
            },
            lambda folder: build_pair_corpus(
                folder, sources, settings, reader=self._restored, **options
            ),
        )
        return PairCorpus(folder)

    @property
    def reader(self) -> TranslationTokenizer:
        """Reads raw sentences as in training, and writes translations."""
        return self._restored or self.corpus().reader

    @property
    def joint(self) -> bool:
        """Whether both languages share one vocabulary."""
        return self._restored.joint if self._restored else self._joint

    @property
    def src_vocab_size(self) -> int:
        """Words in the vocabulary of the source, special ones included."""
        return len(self.reader.source)

    @property
    def trg_vocab_size(self) -> int:
        """Words in the vocabulary of the target, special ones included."""
        return len(self.reader.target)

    def build_spec(self) -> dict[str, Any]:
        """Say how to build this module elsewhere and how it reads raw text, as plain values."""
        return {**super().build_spec(), "reader": self.reader.state_dict()}


def read_back(checkpoint: str) -> TranslationTokenizer:
    """Take the reader of pairs out of a checkpoint."""
    opened = Checkpoint.open(checkpoint)
    if not issubclass(opened.data_class, PairDataModule):
        source = opened.data["class_path"]
        raise UserError(f"{checkpoint} reads no pairs: it was trained on {source}")
    return opened.restore(TranslationTokenizer.from_state_dict, opened.data["reader"])


class ParallelFiles(PairDataModule):
    """Your own pairs: two files with a sentence a line, or one with source, tab, target a line.

    Args:
        train: Files to train on, `[FILE,FILE]` of sources and targets, or one of both; also `.gz`.
        valid: What to validate on; None takes a part of `train`.
        test: What to test on.
        encoding: How the text is encoded, such as `utf-8` or `cp1252`.
        batch_size: See `PairDataModule`, as all that follow.
    """

    machine_specific = (*PairDataModule.machine_specific, "train", "valid", "test")

    def __init__(
        self,
        train: list[str] | str | None = None,
        valid: list[str] | str | None = None,
        test: list[str] | str | None = None,
        *,
        encoding: str = "utf-8",
        batch_size: int = 64,
        batch_tokens: int | None = None,
        source: str | None = None,
        target: str | None = None,
        tokenizer: TokenizerKind = "bpe",
        vocab_size: int | None = 8000,
        min_freq: int = 1,
        lowercase: bool = False,
        moses: bool = False,
        joint: bool = True,
        max_length: int | None = None,
        valid_fraction: float = 0.05,
        split_seed: int = 0,
        vocab_from_checkpoint: str | None = None,
    ) -> None:
        super().__init__(
            batch_size,
            batch_tokens=batch_tokens,
            source=source,
            target=target,
            tokenizer=tokenizer,
            vocab_size=vocab_size,
            min_freq=min_freq,
            lowercase=lowercase,
            moses=moses,
            joint=joint,
            max_length=max_length,
            valid_fraction=valid_fraction,
            split_seed=split_seed,
            vocab_from_checkpoint=vocab_from_checkpoint,
        )
        self.files = {
            name: _paths(name, given)
            for name, given in (("train", train), ("valid", valid), ("test", test))
            if given is not None
        }
        if train is None and not vocab_from_checkpoint:
            raise UserError(
                "ParallelFiles needs files to train on: give --data.train='[SOURCES,TARGETS]'"
            )
        self.encoding = encoding

    def sources(self) -> PairSources:
        """Read the files that were given."""
        return {name: partial(self._read, *paths) for name, paths in self.files.items()}

    def _read(self, *paths: Path) -> Iterator[Pair]:
        if len(paths) == 1:
            return read_tabbed(paths[0], self.encoding)
        return read_parallel(paths[0], paths[1], self.encoding)

    def fingerprint(self, split: str) -> Any:
        """The digests of the files, and how they are read."""
        return [[file_sha256(path) for path in self.files[split]], self.encoding]

    def missing_split_hint(self, split: str) -> str:
        """Name the option that would give the split."""
        return f"give --data.{split}='[SOURCES,TARGETS]'"


def _paths(name: str, given: list[str] | str) -> tuple[Path, ...]:
    files = [given] if isinstance(given, str) else given
    if len(files) not in (1, 2):
        raise UserError(
            f"{name} must be two files, or one with source, tab, target a line, got {len(files)}"
        )
    return tuple(Path(file).expanduser() for file in files)


class SyntheticDates(PairDataModule):
    """Generated dates as people write them in several languages, to be written in one way.

    Read and written by character. Nothing is downloaded.

    Args:
        train_size: Dates to train on.
        valid_size: Dates to validate on.
        test_size: Dates to test on.
        data_seed: Another seed draws other dates.
        target: What is written: `iso` for 2021-03-04, or a locale such as `de` for 4. März 2021.
        batch_size: See `PairDataModule`, as all that follow.
    """

    def __init__(
        self,
        train_size: int = 20_000,
        valid_size: int = 1000,
        test_size: int = 1000,
        data_seed: int = 0,
        *,
        target: str = "iso",
        batch_size: int = 64,
        batch_tokens: int | None = None,
        vocab_from_checkpoint: str | None = None,
    ) -> None:
        super().__init__(
            batch_size,
            batch_tokens=batch_tokens,
            tokenizer="characters",
            vocab_size=None,
            joint=False,
            vocab_from_checkpoint=vocab_from_checkpoint,
        )
        self.sizes = {"train": train_size, "valid": valid_size, "test": test_size}
        for name, size in self.sizes.items():
            if size < 1:
                raise UserError(f"{name}_size must be at least 1, got {size}")
        self.data_seed = data_seed
        self.written_as = target

    def sources(self) -> PairSources:
        """Draw each split."""
        return {name: partial(self._draw, name) for name in self.sizes}

    def _draw(self, split: str) -> Iterator[Pair]:
        size = self.sizes[split]
        return itertools.starmap(Pair, dates(size, self.data_seed, split, self.written_as))

    def fingerprint(self, split: str) -> Any:
        """The versions of what draws, the size, the seed and the target."""
        versions = [rnn_lab.__version__, source_version()]
        return ["SyntheticDates", versions, self.sizes[split], self.data_seed, self.written_as]


def read_parallel(sources: Path, targets: Path, encoding: str = "utf-8") -> Iterator[Pair]:
    """Read two files line by line: lines of one number are a pair, also empty ones.

    Raises:
        UserError: While reading, if one file has more lines, or a line is not of the encoding.
    """
    sides = (_lines(path, encoding) for path in (sources, targets))
    counts = [0, 0]
    for source, target in itertools.zip_longest(*sides):
        counts[0] += source is not None
        counts[1] += target is not None
        if source is not None and target is not None:
            yield Pair(source, target)
    if counts[0] != counts[1]:
        raise UserError(
            f"{sources} has {counts[0]} lines and {targets} has {counts[1]}: they are no pairs"
        )


def read_tabbed(path: Path, encoding: str = "utf-8") -> Iterator[Pair]:
    """Read one file of source, tab, target a line.

    Raises:
        UserError: While reading, if a line has no tab or several, or is not of the encoding.
    """
    for n, line in enumerate(_lines(path, encoding), 1):
        sides = line.split("\t")
        if len(sides) != 2:
            raise UserError(
                f"{path} line {n}: {len(sides) - 1} tabs, wanted one between source and target"
            )
        yield Pair(*sides)


def _lines(path: Path, encoding: str) -> Iterator[str]:
    """Lines as their files end them; what else breaks a line on paper is text."""
    for record in read_records(path, format="txt", labeled=False, encoding=encoding):
        yield record.text
