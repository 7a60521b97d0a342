"""Data modules of labeled texts: the base class, your own files, and generated reviews."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

import rnn_lab
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.generated import TEXT_BYTES, check_split_sizes
from rnn_lab.core.options import as_options
from rnn_lab.errors import UserError
from rnn_lab.io.hashing import file_sha256
from rnn_lab.io.records import Record, infer_format, read_records
from rnn_lab.io.word_vectors import read_vectors
from rnn_lab.tasks.text_classification.batch import TextBatch
from rnn_lab.tasks.text_classification.corpus import TextCorpusBuilder
from rnn_lab.tasks.text_classification.tokenizer import (
    TruncatingTokenizer,
    TruncatingTokenizerConfig,
)
from rnn_lab.text.corpus import DrawnSplits
from rnn_lab.text.datamodule import CorpusDataModule
from rnn_lab.text.reviews import REVIEW_LABELS, reviews
from rnn_lab.text.split import SplitConfig

Sources = dict[str, Callable[[], Iterable[Record]]]
COLUMN_HINT = "set --data.columns.text and --data.columns.label"


class Preprocessing(NamedTuple):
    """What a checkpoint stores of the data: tokenizer, labels and training texts per label."""

    tokenizer: TruncatingTokenizer
    labels: list[str]
    class_counts: list[int]


class TextDataModule(CorpusDataModule):
    """Labeled texts in batches of similar lengths.

    Texts are tokenized once and stored in the user's cache folder under a hash of the files and the
    options. The vocabulary is learned from the training split only.

    Args:
        batch_size: Texts per batch of one process.
        root: Folder of datasets; None: `RNN_LAB_DATA`, or else the user's cache folder.
        tokenizer: Options of the tokenizer, the vocabulary and the truncation of long texts.
        split: How validation and test splits are drawn from the training split if there are none;
            they are stratified by label.
        vectors: File of word vectors in text format (GloVe, fastText) that initialize the
            embeddings.
        vocab_from_checkpoint: Checkpoint whose vocabulary and labels are used instead of new ones.

    Attributes:
        default_tokenizer: The dataset's default for each option of `tokenizer` that is None.
        default_valid_fraction: The dataset's default for `split.valid_fraction`.
        test_fraction: Fraction of the training split to test on, if there is no test split.
    """

    batch_type = TextBatch
    linked = ("vocab_size", "num_classes")
    checkpoint_argument = "vocab_from_checkpoint"
    fitted_arguments = ("tokenizer",)
    machine_specific: ClassVar[tuple[str, ...]] = ("root", "vectors", "vocab_from_checkpoint")
    default_tokenizer: ClassVar[TruncatingTokenizerConfig] = TruncatingTokenizerConfig(
        "words", lowercase=True
    )
    default_valid_fraction: ClassVar[float] = 0.1
    test_fraction: ClassVar[float] = 0.0

    def __init__(
        self,
        batch_size: int = 64,
        *,
        root: str | None = None,
        tokenizer: TruncatingTokenizerConfig | None = None,
        split: SplitConfig | None = None,
        vectors: str | None = None,
        vocab_from_checkpoint: str | None = None,
    ) -> None:
        super().__init__(batch_size)
        self.root = root
        options = as_options(TruncatingTokenizerConfig, tokenizer)
        self.tokenizer_options = options.with_defaults(**asdict(self.default_tokenizer))
        self.split_options = as_options(SplitConfig, split)
        self.vectors = vectors
        self._restored: Preprocessing | None = None
        if vocab_from_checkpoint:
            self._restored = load_preprocessing(vocab_from_checkpoint)

    def corpus_builder(self) -> TextCorpusBuilder:
        """Create the builder of the corpus."""
        return TextCorpusBuilder(
            self.tokenizer_options,
            self._restored.tokenizer if self._restored else None,
            labels=self._labels(),
            multi_label=self.multi_label,
            drawn=DrawnSplits(
                self.split_options.valid_fraction,
                self.split_options.test_fraction or self.test_fraction,
                self.split_options.seed,
                self.default_valid_fraction,
            ),
        )

    @property
    def multi_label(self) -> bool:
        """Whether a text may have several labels."""
        return False

    def _labels(self) -> list[str] | None:
        if self._restored:
            return list(self._restored.labels)
        return list(self.labels.values()) if self.labels else None

    @property
    def label_names(self) -> list[str]:
        """Labels in the order of their ids."""
        return self._labels() or self.corpus().labels

    @property
    def tokenizer(self) -> TruncatingTokenizer:
        """The tokenizer with its vocabulary."""
        return self._restored.tokenizer if self._restored else self.corpus().tokenizer

    @property
    def vocab_size(self) -> int:
        """Number of words in the vocabulary, special tokens included."""
        return len(self.tokenizer)

    @property
    def class_counts(self) -> list[int]:
        """Number of training texts of each label."""
        return self._restored.class_counts if self._restored else self.split("train").class_counts

    def row_numbers(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return the numbers of rows in their file, without the header."""
        numbers: np.ndarray = self.split(name).numbers[rows]
        return numbers

    def describe_row(self, name: str, row: int) -> dict[str, Any]:
        """Return the number of a row and its text."""
        return {**super().describe_row(name, row), "text": self.split(name).text(row)}

    def word_vectors(self, size: int) -> tuple[Tensor, Tensor] | None:
        """Read the vectors of the words in the vocabulary.

        Args:
            size: Size of the vectors.

        Returns:
            Ids `(words,)` and vectors `(words, size)` of the words that have one; None without a
            file of word vectors.
        """
        if not self.vectors:
            return None
        ids, values = read_vectors(Path(self.vectors), self.tokenizer.words, size)
        return torch.from_numpy(ids), torch.from_numpy(values)

    def build_spec(self) -> dict[str, Any]:
        """Return how to build this module again and its preprocessing, as plain values."""
        return {
            **super().build_spec(),
            "tokenizer": self.tokenizer.state_dict(),
            "class_counts": self.class_counts,
        }


def load_preprocessing(path: str) -> Preprocessing:
    """Load tokenizer, labels and class counts from a checkpoint.

    Raises:
        UserError: If the checkpoint is not one of text classification.
    """
    checkpoint = Checkpoint.open(path)
    if not issubclass(checkpoint.data_class, TextDataModule):
        source = checkpoint.data["class_path"]
        raise UserError(f"{path} is not a text classification checkpoint: trained on {source}")
    return checkpoint.restore(_restore_preprocessing, checkpoint.data)


def _restore_preprocessing(data: dict[str, Any]) -> Preprocessing:
    tokenizer = TruncatingTokenizer.from_state_dict(data["tokenizer"])
    return Preprocessing(tokenizer, list(data["labels"]), list(data["class_counts"]))


@dataclass(frozen=True)
class TextColumns:
    """Where texts and labels are in the records of a file.

    Args:
        text: Column of the text, by name or 1-based number.
        label: Column of the label, by name or 1-based number.
        header: If True, the first row of CSV and TSV contains the column names.
        label_separator: Separator of several labels; setting it makes the data multi-label.
        separator: Separator of the fields of CSV, such as `;` or `tab`; None: inferred.
        skip_unlabeled: If True, rows without a label are skipped and counted, not an error.
    """

    text: str | int = "text"
    label: str | int = "label"
    header: bool = True
    label_separator: str | None = None
    separator: str | None = None
    skip_unlabeled: bool = False


class TextFiles(TextDataModule):
    """Your own texts: CSV, TSV, JSONL, Parquet, lines of label and text, or a folder per label.

    Args:
        train: Training file or folder, also as `.gz`.
        valid: Validation file or folder; None: a fraction of `train`, see `split`.
        test: Test file or folder; None: a fraction of `train` if `split.test_fraction` is set.
        format: `csv`, `tsv`, `jsonl`, `parquet`, `txt` (label, space or tab, text), `folder` or
            `archive`; None: inferred from the name.
        columns: Where texts and labels are.
        encoding: Text encoding, such as `utf-8` or `cp1252`.
        batch_size: See `TextDataModule`, also for the following arguments.
    """

    machine_specific = (*TextDataModule.machine_specific, "train", "valid", "test")

    def __init__(
        self,
        train: str | None = None,
        valid: str | None = None,
        test: str | None = None,
        *,
        format: str | None = None,
        columns: TextColumns | None = None,
        encoding: str = "utf-8",
        batch_size: int = 64,
        tokenizer: TruncatingTokenizerConfig | None = None,
        split: SplitConfig | None = None,
        vectors: str | None = None,
        vocab_from_checkpoint: str | None = None,
    ) -> None:
        super().__init__(
            batch_size,
            tokenizer=tokenizer,
            split=split,
            vectors=vectors,
            vocab_from_checkpoint=vocab_from_checkpoint,
        )
        self.files = {
            name: Path(path).expanduser()
            for name, path in (("train", train), ("valid", valid), ("test", test))
            if path is not None
        }
        if train is None and not vocab_from_checkpoint:
            raise UserError("TextFiles needs a training file: set --data.train=FILE")
        self.columns = as_options(TextColumns, columns)
        if self.columns.label_separator == "":
            raise UserError(
                "columns.label_separator must not be empty: give the text between two labels, such "
                "as a comma"
            )
        self.read_options: dict[str, Any] = {
            "format": format,
            "text_column": self.columns.text,
            "label_column": self.columns.label,
            "header": self.columns.header,
            "encoding": encoding,
            "label_separator": self.columns.label_separator,
            "separator": self.columns.separator,
            "allow_unlabeled": self.columns.skip_unlabeled,
        }

    @property
    def multi_label(self) -> bool:
        """Whether labels have a separator."""
        return self.columns.label_separator is not None

    def sources(self) -> Sources:
        """Return a reader of each split that has a file."""
        return {
            name: partial(read_records, path, **self.read_options, column_hint=COLUMN_HINT)
            for name, path in self.files.items()
        }

    def corpus_builder(self) -> TextCorpusBuilder:
        """Create the builder of the corpus."""
        builder = super().corpus_builder()
        builder.skip_unlabeled = self.columns.skip_unlabeled
        return builder

    def build_spec(self) -> dict[str, Any]:
        """Return also where texts are in a row, which is the default of `predict`."""
        where = {"text_column": self.columns.text, "separator": self.columns.separator}
        return {**super().build_spec(), **where}

    def fingerprint(self, split: str) -> Any:
        """Return the hash of the file, and how it is read."""
        path = self.files[split]
        format = infer_format(path, self.read_options["format"])
        return [file_sha256(path), format, self.read_options]

    @property
    def test_argument(self) -> str:
        """See `LabDataModule`."""
        return self.split_options.test_argument

    def missing_split_hint(self, split: str) -> str:
        """Name the options that set the split."""
        return self.split_options.missing_split_hint(split, "FILE")


class SyntheticReviews(TextDataModule):
    """Generated film reviews labeled by word order; nothing is downloaded.

    Args:
        train_size: Number of training reviews.
        valid_size: Number of validation reviews.
        test_size: Number of test reviews.
        data_seed: Seed of the generator.
        batch_size: See `TextDataModule`, also for the following arguments.
    """

    labels: ClassVar[Mapping[str, str]] = {name: name for name in REVIEW_LABELS}

    def __init__(
        self,
        train_size: int = 5000,
        valid_size: int = 1000,
        test_size: int = 2000,
        data_seed: int = 0,
        *,
        batch_size: int = 64,
        tokenizer: TruncatingTokenizerConfig | None = None,
        vocab_from_checkpoint: str | None = None,
    ) -> None:
        super().__init__(
            batch_size, tokenizer=tokenizer, vocab_from_checkpoint=vocab_from_checkpoint
        )
        self.sizes = {"train": train_size, "valid": valid_size, "test": test_size}
        check_split_sizes(self.sizes, TEXT_BYTES)
        self.data_seed = data_seed

    def sources(self) -> Sources:
        """Return a generator of each split."""
        return {name: partial(self._generate, name) for name in self.sizes}

    def _generate(self, split: str) -> Iterator[Record]:
        for text, label in reviews(self.sizes[split], self.data_seed, split):
            yield Record(text, (label,))

    def fingerprint(self, split: str) -> Any:
        """Return the version of the grammar, the size and the seed."""
        return ["SyntheticReviews", rnn_lab.__version__, self.sizes[split], self.data_seed]
