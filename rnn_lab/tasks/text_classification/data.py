"""Texts and their labels: the data module, known datasets, and the user's own files."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from platformdirs import user_cache_path
from torch import Tensor

import rnn_lab
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.errors import UserError
from rnn_lab.io.hashing import file_sha256
from rnn_lab.io.records import Record, read_records
from rnn_lab.io.word_vectors import read_vectors
from rnn_lab.tasks.text_classification.batch import TextBatch
from rnn_lab.tasks.text_classification.corpus import Corpus, build_corpus, prepare
from rnn_lab.tasks.text_classification.tokenizer import (
    TruncatingTokenizer,
    TruncatingTokenizerConfig,
)
from rnn_lab.text.datamodule import CorpusDataModule
from rnn_lab.text.reviews import REVIEW_LABELS, reviews
from rnn_lab.text.tokenizer import TokenizerKind

Sources = dict[str, Callable[[], Iterable[Record]]]


class TextDataModule(CorpusDataModule):
    """Labeled texts: read once, kept as ids, given in batches of like lengths.

    The vocabulary is learned from the training split only. What was prepared lies in the user's
    cache folder under a hash of the files and of the settings.

    Args:
        batch_size: Texts in a batch of one process.
        root: Folder of datasets; None takes `RNN_LAB_DATA`, else the user's cache folder.
        tokenizer: `words`, `whitespace`, `characters`, `bpe` or `unigram`; None is the
            dataset's own.
        lowercase: Whether case is dropped; None is the dataset's own.
        min_freq: How often a word must occur in training to be known.
        max_vocab_size: Known words at the most, the most frequent ones; None for no limit.
        max_length: Words of a text that are read at the most; None is the dataset's own.
        truncation_side: The side on which tokens of a longer text are removed, `right` or `left`.
        valid_fraction: Part of the training split to validate on where no split is given, drawn
            within each label.
        split_seed: What parts that are drawn depend on.
        vectors: File of word vectors in text form (GloVe, fastText); the model starts from them.
        vocab_from_checkpoint: Checkpoint whose vocabulary and labels are used; None: build them.
    """

    batch_type = TextBatch
    linked = ("vocab_size", "num_classes")
    checkpoint_argument = "vocab_from_checkpoint"
    machine_specific: ClassVar[tuple[str, ...]] = ("root", "vectors", "vocab_from_checkpoint")
    default_tokenizer: ClassVar[TokenizerKind] = "words"
    default_lowercase: ClassVar[bool] = True
    default_max_length: ClassVar[int | None] = None
    test_fraction: ClassVar[float] = 0.0  # where the publisher gives no test split

    def __init__(
        self,
        batch_size: int = 64,
        *,
        root: str | None = None,
        tokenizer: TokenizerKind | None = None,
        lowercase: bool | None = None,
        min_freq: int = 1,
        max_vocab_size: int | None = None,
        max_length: int | None = None,
        truncation_side: Literal["right", "left"] = "right",
        valid_fraction: float = 0.1,
        split_seed: int = 0,
        vectors: str | None = None,
        vocab_from_checkpoint: str | None = None,
    ) -> None:
        super().__init__(batch_size)
        if not 0 < valid_fraction < 1:
            raise UserError(f"valid_fraction must be between 0 and 1, got {valid_fraction}")
        self.root = root
        self.settings = TruncatingTokenizerConfig(
            tokenizer or self.default_tokenizer,
            self.default_lowercase if lowercase is None else lowercase,
            min_freq,
            max_vocab_size,
            self.default_max_length if max_length is None else max_length,
            truncation_side,
        )
        self.valid_fraction = valid_fraction
        self.split_seed = split_seed
        self.vectors = vectors
        self._restored = read_back(vocab_from_checkpoint) if vocab_from_checkpoint else None

    def _prepare(self, sources: Sources) -> Corpus:
        options: dict[str, Any] = {
            "labels": self._labels(),
            "multi_label": self.multi_label,
            "valid_fraction": self.valid_fraction,
            "test_fraction": self.test_fraction,
            "split_seed": self.split_seed,
        }
        reader = self._restored["reader"] if self._restored else None
        return prepare(
            user_cache_path("rnn_lab") / "prepared",
            {
                "content": {name: self.fingerprint(name) for name in sources},
                "reader": reader.state_dict() if reader else asdict(self.settings),
                **options,
            },
            lambda folder: build_corpus(folder, sources, self.settings, reader=reader, **options),
        )

    @property
    def multi_label(self) -> bool:
        """Whether a text may have several labels."""
        return False

    def _labels(self) -> list[str] | None:
        if self._restored:
            return list(self._restored["labels"])
        return list(self.labels.values()) if self.labels else None

    @property
    def label_names(self) -> list[str]:
        """The labels in the order of their ids."""
        return self._labels() or self.corpus().labels

    @property
    def reader(self) -> TruncatingTokenizer:
        """Reads raw text as in training."""
        return self._restored["reader"] if self._restored else self.corpus().reader

    @property
    def vocab_size(self) -> int:
        """Words in the vocabulary, padding and the unknown word included."""
        return len(self.reader)

    @property
    def class_counts(self) -> list[int]:
        """Training texts of each label."""
        return (
            self._restored["class_counts"] if self._restored else self.split("train").class_counts
        )

    def word_vectors(self, size: int) -> tuple[Tensor, Tensor] | None:
        """Read the vectors of known words: their ids `(found,)` and values `(found, size)`."""
        if not self.vectors:
            return None
        ids, values = read_vectors(Path(self.vectors), self.reader.words, size)
        return torch.from_numpy(ids), torch.from_numpy(values)

    def build_spec(self) -> dict[str, Any]:
        """Say how to build this module elsewhere and how it reads raw text, as plain values."""
        return {
            **super().build_spec(),
            "reader": self.reader.state_dict(),
            "class_counts": self.class_counts,
        }


def read_back(checkpoint: str) -> dict[str, Any]:
    """Take the reader, the labels and their counts out of a checkpoint."""
    opened = Checkpoint.open(checkpoint)
    if not issubclass(opened.data_class, TextDataModule):
        source = opened.data["class_path"]
        raise UserError(f"{checkpoint} labels no text: it was trained on {source}")
    return opened.restore(_taken_up, opened.data)


def _taken_up(data: dict[str, Any]) -> dict[str, Any]:
    lists = {name: list(data[name]) for name in ("labels", "class_counts")}
    return {**data, **lists, "reader": TruncatingTokenizer.from_state_dict(data["reader"])}


class TextFiles(TextDataModule):
    """Your own texts: CSV, TSV, JSONL, lines of label and text, or a folder for each label.

    Args:
        train: File or folder to train on, also as `.gz`.
        valid: What to validate on; None takes a part of `train`.
        test: What to test on.
        format: `csv`, `tsv`, `jsonl`, `txt` (label, space or tab, text), `folder` or `archive`;
            None tells it from the name.
        text_column: Column of the text, by name or by number from 1.
        label_column: Column of the label, by name or by number from 1.
        header: Whether CSV and TSV name their columns in the first row.
        encoding: How the text is encoded, such as `utf-8` or `cp1252`.
        label_separator: Splits a label into several; the data is then multi-label.
        batch_size: See `TextDataModule`, as all that follow.
    """

    machine_specific = (*TextDataModule.machine_specific, "train", "valid", "test")

    def __init__(
        self,
        train: str | None = None,
        valid: str | None = None,
        test: str | None = None,
        *,
        format: str | None = None,
        text_column: str | int = "text",
        label_column: str | int = "label",
        header: bool = True,
        encoding: str = "utf-8",
        label_separator: str | None = None,
        batch_size: int = 64,
        tokenizer: TokenizerKind | None = None,
        lowercase: bool | None = None,
        min_freq: int = 1,
        max_vocab_size: int | None = None,
        max_length: int | None = None,
        truncation_side: Literal["right", "left"] = "right",
        valid_fraction: float = 0.1,
        split_seed: int = 0,
        vectors: str | None = None,
        vocab_from_checkpoint: str | None = None,
    ) -> None:
        super().__init__(
            batch_size,
            tokenizer=tokenizer,
            lowercase=lowercase,
            min_freq=min_freq,
            max_vocab_size=max_vocab_size,
            max_length=max_length,
            truncation_side=truncation_side,
            valid_fraction=valid_fraction,
            split_seed=split_seed,
            vectors=vectors,
            vocab_from_checkpoint=vocab_from_checkpoint,
        )
        self.files = {
            name: Path(path).expanduser()
            for name, path in (("train", train), ("valid", valid), ("test", test))
            if path is not None
        }
        if train is None and not vocab_from_checkpoint:
            raise UserError("TextFiles needs a file to train on: give --data.train=FILE")
        self.label_separator = label_separator
        self.options: dict[str, Any] = {
            "format": format,
            "text_column": text_column,
            "label_column": label_column,
            "header": header,
            "encoding": encoding,
            "label_separator": label_separator,
        }

    @property
    def multi_label(self) -> bool:
        """Whether a separator was given."""
        return self.label_separator is not None

    def sources(self) -> Sources:
        """Read each file that was given."""
        return {
            name: partial(read_records, path, **self.options) for name, path in self.files.items()
        }

    def fingerprint(self, split: str) -> Any:
        """The digest of the file, and how it is read."""
        return [file_sha256(self.files[split]), self.options]

    def missing_split_hint(self, split: str) -> str:
        """Name the option that would give the split."""
        return f"give --data.{split}=FILE"


class SyntheticReviews(TextDataModule):
    """Generated film reviews in which word order decides the label; nothing is downloaded.

    Args:
        train_size: Reviews to train on.
        valid_size: Reviews to validate on.
        test_size: Reviews to test on.
        data_seed: Another seed draws other reviews.
        batch_size: See `TextDataModule`, as all that follow.
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
        max_length: int | None = None,
        vocab_from_checkpoint: str | None = None,
    ) -> None:
        super().__init__(
            batch_size, max_length=max_length, vocab_from_checkpoint=vocab_from_checkpoint
        )
        self.sizes = {"train": train_size, "valid": valid_size, "test": test_size}
        for name, size in self.sizes.items():
            if size < 1:
                raise UserError(f"{name}_size must be at least 1, got {size}")
        self.data_seed = data_seed

    def sources(self) -> Sources:
        """Draw each split."""
        return {name: partial(self._draw, name) for name in self.sizes}

    def _draw(self, split: str) -> Iterator[Record]:
        for text, label in reviews(self.sizes[split], self.data_seed, split):
            yield Record(text, (label,))

    def fingerprint(self, split: str) -> Any:
        """The version of the grammar, the size and the seed."""
        return ["SyntheticReviews", rnn_lab.__version__, self.sizes[split], self.data_seed]
