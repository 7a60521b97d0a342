"""Data modules of sentence pairs: the base, the user's own files and generated dates."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import rnn_lab
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.generated import TEXT_BYTES, check_split_sizes
from rnn_lab.core.options import as_options
from rnn_lab.errors import UserError
from rnn_lab.io.hashing import file_sha256
from rnn_lab.io.lines import format_names
from rnn_lab.io.records import read_records
from rnn_lab.tasks.translation.batch import PairBatch
from rnn_lab.tasks.translation.corpus import Pair, PairCorpusBuilder
from rnn_lab.tasks.translation.dates import dates, source_version
from rnn_lab.tasks.translation.tokenizer import (
    SentenceTokenizerConfig,
    TranslationTokenizer,
    TranslationTokenizerConfig,
)
from rnn_lab.text.corpus import DrawnSplits
from rnn_lab.text.datamodule import CorpusDataModule
from rnn_lab.text.split import SplitConfig

PairSources = dict[str, Callable[[], Iterable[Pair]]]
TABLE_SUFFIXES = (".csv", ".jsonl", ".json", ".parquet")


class PairDataModule(CorpusDataModule):
    """Sentence pairs for translation, in batches of similar lengths.

    Text is tokenized once and stored in the user's cache folder under a hash of the files and the
    options. Vocabularies are learned from the training split only.

    Args:
        batch_size: Pairs per batch and process.
        batch_tokens: Target tokens per training batch and process, start and end tokens included;
            replaces `batch_size` in training.
        source: Code of the source language, such as `en`.
        target: Code of the target language.
        root: Folder of datasets; None: `RNN_LAB_DATA`, or else the user's cache folder.
        tokenizer: Options of the tokenizers and vocabularies.
        max_length: Limit on the tokens of a side in training; longer pairs are left out. None for
            no limit. Evaluation uses all pairs.
        split: How validation and test splits are drawn if there are none; all pairs with the same
            source are in the same split.
        vocab_from_checkpoint: Checkpoint whose vocabulary is used instead of learning one.

    Attributes:
        languages: The two languages of the dataset, by default source and target; empty if any
            language is possible.
        default_tokenizer: The dataset's default for each option of `tokenizer` that is None.
        default_valid_fraction: The dataset's default for `split.valid_fraction`.
        test_fraction: Fraction of the training split to test on, if there is no test split.
    """

    batch_type = PairBatch
    linked = ("src_vocab_size", "trg_vocab_size")
    checkpoint_argument = "vocab_from_checkpoint"
    fitted_arguments = ("tokenizer",)
    languages: ClassVar[tuple[str, ...]] = ()
    machine_specific: ClassVar[tuple[str, ...]] = ("root", "vocab_from_checkpoint")
    default_tokenizer: ClassVar[TranslationTokenizerConfig] = TranslationTokenizerConfig(
        "bpe", lowercase=False, max_vocab_size=8000, moses=False, joint=True
    )
    default_valid_fraction: ClassVar[float] = 0.05
    test_fraction: ClassVar[float] = 0.0

    def __init__(
        self,
        batch_size: int = 64,
        *,
        batch_tokens: int | None = None,
        source: str | None = None,
        target: str | None = None,
        root: str | None = None,
        tokenizer: TranslationTokenizerConfig | None = None,
        max_length: int | None = None,
        split: SplitConfig | None = None,
        vocab_from_checkpoint: str | None = None,
    ) -> None:
        super().__init__(batch_size)
        self.direction = source, target
        if self.languages and self.direction == (None, None):
            self.direction = self.languages[0], self.languages[1]
        if self.languages and set(self.direction) != set(self.languages):
            raise UserError(
                f"{type(self).__name__} has {' and '.join(self.languages)}: set one as source and "
                f"the other as target, got {source} and {target}"
            )
        for name, value in (("batch_tokens", batch_tokens), ("max_length", max_length)):
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, got {value}")
        self.batch_tokens = batch_tokens
        self.root = root
        self.max_length = max_length
        self.split_options = as_options(SplitConfig, split)
        options = as_options(TranslationTokenizerConfig, tokenizer)
        self.tokenizer_options = options.with_defaults(**asdict(self.default_tokenizer))
        for_language = self.tokenizer_options.for_language
        self._settings = for_language(self.direction[0]), for_language(self.direction[1])
        self._restored = load_tokenizer(vocab_from_checkpoint) if vocab_from_checkpoint else None

    @property
    def settings(self) -> tuple[SentenceTokenizerConfig, SentenceTokenizerConfig]:
        """Tokenizer options of the source and of the target language."""
        if self._restored:
            return self._restored.source.settings, self._restored.target.settings
        return self._settings

    def corpus_builder(self) -> PairCorpusBuilder:
        """Create the builder of the corpus."""
        return PairCorpusBuilder(
            self.settings,
            self._restored,
            joint=self.joint,
            max_length=self.max_length,
            drawn=DrawnSplits(
                self.split_options.valid_fraction,
                self.split_options.test_fraction or self.test_fraction,
                self.split_options.seed,
                self.default_valid_fraction,
            ),
        )

    @property
    def tokenizer(self) -> TranslationTokenizer:
        """Tokenizers of both languages with their vocabularies."""
        return self._restored or self.corpus().tokenizer

    @property
    def joint(self) -> bool:
        """Whether both languages share one vocabulary."""
        return self._restored.joint if self._restored else bool(self.tokenizer_options.joint)

    @property
    def src_vocab_size(self) -> int:
        """Number of tokens in the source vocabulary, special tokens included."""
        return len(self.tokenizer.source)

    @property
    def trg_vocab_size(self) -> int:
        """Number of tokens in the target vocabulary, special tokens included."""
        return len(self.tokenizer.target)

    def build_spec(self) -> dict[str, Any]:
        """Return how to build this module again and the tokenizers, as plain values."""
        return {**super().build_spec(), "tokenizer": self.tokenizer.state_dict()}


def load_tokenizer(checkpoint: str) -> TranslationTokenizer:
    """Load the tokenizers of both languages from a checkpoint."""
    opened = Checkpoint.open(checkpoint)
    if not issubclass(opened.data_class, PairDataModule):
        source = opened.data["class_path"]
        raise UserError(f"{checkpoint} is not a translation checkpoint: it was trained on {source}")
    return opened.restore(TranslationTokenizer.from_state_dict, opened.data["tokenizer"])


class ParallelFiles(PairDataModule):
    """Your own parallel text: two files with a sentence per line, or one file of pairs.

    A CSV, JSONL or Parquet file of pairs has columns with the codes of the languages, as `source`
    and `target` state them, or else with the names `source` and `target`.

    Args:
        train: Training files: `[FILE,FILE]` of sources and targets, one file with source, tab and
            target per line, or one table; also `.gz`.
        valid: Validation files; None: a fraction of `train`, see `split`.
        test: Test files; None: a fraction of `train` if `split.test_fraction` is set.
        encoding: Text encoding, such as `utf-8` or `cp1252`.
        batch_size: See `PairDataModule`, also for the following arguments.
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
        tokenizer: TranslationTokenizerConfig | None = None,
        max_length: int | None = None,
        split: SplitConfig | None = None,
        vocab_from_checkpoint: str | None = None,
    ) -> None:
        super().__init__(
            batch_size,
            batch_tokens=batch_tokens,
            source=source,
            target=target,
            tokenizer=tokenizer,
            max_length=max_length,
            split=split,
            vocab_from_checkpoint=vocab_from_checkpoint,
        )
        self.files = {
            name: _paths(name, files)
            for name, files in (("train", train), ("valid", valid), ("test", test))
            if files is not None
        }
        if train is None and not vocab_from_checkpoint:
            raise UserError(
                "ParallelFiles needs training files: set --data.train='[SOURCES,TARGETS]'"
            )
        self.encoding = encoding

    def sources(self) -> PairSources:
        """Return a reader of each split that has files."""
        return {name: partial(self._read, *paths) for name, paths in self.files.items()}

    def _read(self, *paths: Path) -> Iterator[Pair]:
        if _is_table(paths):
            return read_pair_table(paths[0], self.column_names, self.encoding)
        if len(paths) == 1:
            return read_tabbed(paths[0], self.encoding)
        return read_parallel(paths[0], paths[1], self.encoding)

    def fingerprint(self, split: str) -> Any:
        """Return the hashes of the files, their encoding, and the columns of a table."""
        paths = self.files[split]
        columns = self.column_names if _is_table(paths) else None
        return [[file_sha256(path) for path in paths], self.encoding, columns]

    @property
    def column_names(self) -> tuple[str, str]:
        """Names of the columns of sources and targets in a table."""
        return self.direction[0] or "source", self.direction[1] or "target"

    def build_spec(self) -> dict[str, Any]:
        """Return also the column of sources in tables, which is the default of `predict`."""
        has_table = any(map(_is_table, self.files.values()))
        where = {"text_column": self.column_names[0]} if has_table else {}
        return {**super().build_spec(), **where}

    @property
    def test_argument(self) -> str:
        """See `LabDataModule`."""
        return self.split_options.test_argument

    def missing_split_hint(self, split: str) -> str:
        """Name the options that set the split."""
        return self.split_options.missing_split_hint(split, "'[SOURCES,TARGETS]'")


def _is_table(paths: tuple[Path, ...]) -> bool:
    suffix = Path(paths[0].name.removesuffix(".gz")).suffix.lower()
    return len(paths) == 1 and suffix in TABLE_SUFFIXES


def _paths(name: str, value: list[str] | str) -> tuple[Path, ...]:
    files = [value] if isinstance(value, str) else value
    if len(files) not in (1, 2):
        raise UserError(
            f"{name} must be two files, or one with source, tab and target per line, got "
            f"{len(files)} files"
        )
    return tuple(Path(file).expanduser() for file in files)


class SyntheticDates(PairDataModule):
    """Generated dates: translate dates in the formats of many languages to a single format.

    Text is tokenized by character. Nothing is downloaded.

    Args:
        train_size: Number of training dates.
        valid_size: Number of validation dates.
        test_size: Number of test dates.
        data_seed: Seed of the generated dates.
        target: Target format: `iso` for 2021-03-04, or a locale such as `de` for 4. März 2021.
        batch_size: See `PairDataModule`, also for the following arguments.
    """

    default_tokenizer = TranslationTokenizerConfig(
        "characters", lowercase=False, moses=False, joint=False
    )

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
            vocab_from_checkpoint=vocab_from_checkpoint,
        )
        self.sizes = {"train": train_size, "valid": valid_size, "test": test_size}
        check_split_sizes(self.sizes, TEXT_BYTES)
        self.data_seed = data_seed
        self.format = target

    def sources(self) -> PairSources:
        """Return a generator of each split."""
        return {name: partial(self._generate, name) for name in self.sizes}

    def _generate(self, split: str) -> Iterator[Pair]:
        size = self.sizes[split]
        return itertools.starmap(Pair, dates(size, self.data_seed, split, self.format))

    def fingerprint(self, split: str) -> Any:
        """Return the versions of the generator and Babel, the size, the seed and the format."""
        versions = [rnn_lab.__version__, source_version()]
        return ["SyntheticDates", versions, self.sizes[split], self.data_seed, self.format]


def read_parallel(sources: Path, targets: Path, encoding: str = "utf-8") -> Iterator[Pair]:
    """Read two files line by line: the lines of the same number are a pair, also empty ones.

    Raises:
        UserError: While reading, if one file has more lines or a line cannot be decoded.
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
            f"{sources} has {counts[0]} lines, but {targets} has {counts[1]}: they must be parallel"
        )


def read_tabbed(path: Path, encoding: str = "utf-8") -> Iterator[Pair]:
    """Read a file with source, tab and target per line; both sides of a blank line are empty.

    Raises:
        UserError: While reading, if a line that is not blank does not have exactly one tab, or a
            line cannot be decoded.
    """
    for n, line in enumerate(_lines(path, encoding), 1):
        sides = line.split("\t") if line.strip() else ["", ""]
        if len(sides) != 2:
            raise UserError(
                f"{path} line {n} has {len(sides) - 1} tabs, expected one between source and target"
            )
        yield Pair(*sides)


def read_pair_table(
    path: Path, columns: tuple[str, str], encoding: str = "utf-8"
) -> Iterator[Pair]:
    """Read a CSV, JSONL or Parquet file with a column for each side.

    Raises:
        UserError: While reading, if a column is missing or has a value that is no text.
    """
    source, target = columns
    options: dict[str, Any] = {"labeled": False, "encoding": encoding, "keep_columns": True}
    hint = "set --data.source and --data.target"
    records = read_records(path, text_column=source, column_hint=hint, **options)
    for n, record in enumerate(records, 1):
        if target not in record.columns:
            names = format_names([source, *record.columns])
            raise UserError(f"{path} has no column {target!r}; it has: {names} ({hint})")
        text = record.columns[target]
        if not isinstance(text, str):
            raise UserError(f"{path} pair {n}: {target!r} is {text!r:.50}, expected a string")
        yield Pair(record.text, text)


def _lines(path: Path, encoding: str) -> Iterator[str]:
    """Yield lines; Unicode line separators within a line are text."""
    for record in read_records(path, format="txt", labeled=False, encoding=encoding):
        yield record.text
