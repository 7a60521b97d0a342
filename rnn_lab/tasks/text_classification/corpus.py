"""Corpus of labeled texts."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rnn_lab.errors import UserError
from rnn_lab.io.progress import progress
from rnn_lab.io.ragged import open_memmap
from rnn_lab.io.records import Record
from rnn_lab.io.summaries import describe_lengths, describe_outlier, format_count, format_counts
from rnn_lab.special_tokens import UNK_ID
from rnn_lab.tasks.text_classification.batch import TextBatch
from rnn_lab.tasks.text_classification.tokenizer import (
    TruncatingTokenizer,
    TruncatingTokenizerConfig,
)
from rnn_lab.text.corpus import (
    Corpus,
    DrawnSplits,
    RecordCorpusBuilder,
    RecordDataset,
    RecordSplit,
    RecordStore,
    Row,
    Sources,
)
from rnn_lab.text.tokenizer import encode_in_chunks


class TextDataset(RecordDataset):
    """Labeled texts of one split, read from disk on demand.

    Args:
        folder: Folder of the corpus.
        name: The split, `train`, `valid` or `test`.
        num_classes: Number of labels.
        multi_label: If True, a text may have several labels.
    """

    columns = ("text",)

    def __init__(self, folder: Path, name: str, num_classes: int, multi_label: bool) -> None:
        super().__init__(folder, name)
        self.num_classes = num_classes
        self.multi_label = multi_label
        self.labels = open_memmap(folder / f"{name}.labels.bin", "u1" if multi_label else "<i8")
        if multi_label:
            self.labels = self.labels.reshape(-1, num_classes)
        self.numbers = open_memmap(folder / f"{name}.numbers.bin", "<i8")

    @property
    def lengths(self) -> np.ndarray:
        """Tokens in each row, `(rows,)` int64."""
        return np.diff(self.offsets[0])

    @property
    def class_counts(self) -> list[int]:
        """Number of rows of each label."""
        if self.multi_label:
            return self.labels.sum(0, dtype=np.int64).tolist()
        return np.bincount(self.labels, minlength=self.num_classes).tolist()

    def text(self, row: int) -> str:
        """Return the raw text of a row."""
        return self.raw_text(row)

    def __getitem__(self, rows: np.ndarray) -> TextBatch:
        """Gather rows into a padded batch."""
        tokens, lengths = self.gather(rows)
        labels = torch.from_numpy(self.labels[rows])
        return TextBatch(tokens, labels.float() if self.multi_label else labels, lengths)


class TextCorpus(Corpus):
    """An opened corpus of labeled texts.

    Args:
        folder: Folder of the corpus.
    """

    tokenizer_class = TruncatingTokenizer
    splits: dict[str, TextDataset]

    @property
    def labels(self) -> list[str]:
        """Labels in the order of their ids."""
        return self.metadata["labels"]

    def open_split(self, folder: Path, name: str) -> TextDataset:
        """Open a split."""
        return TextDataset(folder, name, len(self.labels), self.metadata["multi_label"])


class TextCorpusBuilder(RecordCorpusBuilder):
    """Build a corpus of labeled texts.

    Args:
        settings: Options of the tokenizer that is learned.
        tokenizer: A tokenizer to use; None: learn one from the training split.
        labels: Labels in the order of their ids; None: those of the training split, sorted.
        multi_label: If True, a text may have several labels.
        drawn: How missing splits are drawn from the training split, stratified by label.

    Attributes:
        skip_unlabeled: Whether records without a label are skipped.
    """

    corpus_class = TextCorpus
    skip_unlabeled = False
    columns, records_name, compared = ("text",), "texts", "test texts"

    def __init__(
        self,
        settings: TruncatingTokenizerConfig,
        tokenizer: TruncatingTokenizer | None = None,
        *,
        labels: list[str] | None = None,
        multi_label: bool = False,
        drawn: DrawnSplits = DrawnSplits(),  # noqa: B008  # it is frozen
    ) -> None:
        super().__init__(tokenizer)
        self.drawn = drawn
        self.settings = settings
        self.labels = labels
        self._collects_labels = labels is None
        self.multi_label = multi_label
        self._numbers: dict[str, array[int]] = {}  # of the labeled records, if others are skipped

    @property
    def key(self) -> dict[str, Any]:
        """See `CorpusBuilder`."""
        return {
            "tokenizer": self.tokenizer.state_dict() if self.tokenizer else asdict(self.settings),
            "labels": self.labels,
            "multi_label": self.multi_label,
            "skip_unlabeled": self.skip_unlabeled,
            "drawn": self.drawn._asdict(),
        }

    def texts(self, record: Record) -> tuple[tuple[str], tuple[str, ...]]:
        """Return the text and its labels."""
        return (record.text,), record.labels

    def open_sources(self, folder: Path, sources: Sources) -> dict[str, RecordSplit]:
        """Store the records, and collect the labels of the training split if none are given."""
        if self.skip_unlabeled:
            sources = {name: partial(self._labeled, name, read) for name, read in sources.items()}
        splits = super().open_sources(folder, sources)
        if self.labels is None:
            strata = splits["train"].store.strata
            self.labels = sorted({label for labels in strata for label in labels}, key=_natural)
        return splits

    def _labeled(self, name: str, read: Callable[[], Iterable[Record]]) -> Iterator[Record]:
        """Skip the records without a label, count them, and keep the numbers of the others."""
        number, numbers = 0, array("q")
        self._numbers[name] = numbers
        for number, record in enumerate(read(), 1):
            if record.labels:
                numbers.append(number)
                yield record
        skipped = number - len(numbers)
        if skipped:
            texts = format_count(skipped, "text")
            self.notices.append(f"skipped {texts} of the {name} split without a label")

    def empty_split_hint(self, name: str, store: RecordStore) -> str:
        """See `RecordCorpusBuilder`; name the column of the labels if no label occurs twice."""
        hint = super().empty_split_hint(name, store)
        if len(store.strata) < len(store):
            return hint
        return f"no two texts have the same label, see --data.columns.label; {hint}"

    def learn(self, train: RecordSplit) -> TruncatingTokenizer:
        """Learn a tokenizer from the training split."""
        texts = train.store.texts["text"].read(train.rows)
        texts = progress(texts, "learning the vocabulary", len(train.rows))
        return TruncatingTokenizer.learn(self.settings, texts)

    def encode(self, split: RecordSplit) -> Iterator[Row]:
        """Encode the texts of a split."""
        texts = split.store.texts["text"].read(split.rows)
        for _, chunk in encode_in_chunks(self.tokenizer.encode, texts):
            for ids in chunk:
                yield (ids,)

    def validate(self, row: Row, training: bool) -> tuple[Row | None, str]:
        """Leave out empty texts in training, and replace them by the unknown word elsewhere."""
        if row[0]:
            return row, ""
        return None if training else ([UNK_ID],), "empty"

    def describe(self, name: str, problem: str, count: int) -> str:
        """Return the message on the number of empty texts."""
        texts = format_count(count, f"{problem} text")
        if name == "train":
            return f"left out {texts} of the train split"
        return f"read {texts} of the {name} split as an unknown word"

    def write_split(self, folder: Path, name: str, split: RecordSplit) -> np.ndarray:
        """Encode and write the texts and labels of a split."""
        targets = self._targets(name, split.store)
        rows = super().write_split(folder, name, split)
        labels = targets[split.store.stratum[rows]]
        labels.tofile(folder / f"{name}.labels.bin")
        numbers = self._numbers.get(split.store.name)
        numbers_of_rows = rows + 1 if numbers is None else np.frombuffer(numbers, np.int64)[rows]
        numbers_of_rows.tofile(folder / f"{name}.numbers.bin")
        if name == "train" or self._collects_labels:
            self.notices.append(self._describe_classes(name, labels))
        if name == "train":
            lengths = np.diff(open_memmap(folder / f"{name}.text.offsets.bin", "<i8"))
            remedy = "--data.tokenizer.max_length truncates texts"
            outlier = describe_outlier("text", lengths, remedy)
            self.notices += [describe_lengths("text", lengths), *([outlier] if outlier else [])]
        return rows

    def _describe_classes(self, name: str, labels: np.ndarray) -> str:
        """Return the message on the number of texts of each label."""
        names = self.labels or []
        multi = self.multi_label
        counts = (
            labels.sum(0, dtype=np.int64) if multi else np.bincount(labels, minlength=len(names))
        )
        texts = format_count(len(labels), "text")
        return f"the {name} split has {texts}: {format_counts(names, counts.tolist())}"

    def _targets(self, name: str, store: RecordStore) -> np.ndarray:
        """Return the target of each combination of labels that occurs in a store."""
        labels = self.labels or []
        ids = {label: i for i, label in enumerate(labels)}
        targets = np.zeros((len(store.strata), len(labels)), np.uint8)
        for combination, number in store.strata.items():
            if len(combination) != 1 and not self.multi_label:
                raise UserError(
                    f"the {name} split has a text with {len(combination)} labels "
                    f"({', '.join(combination)}): set --data.columns.label_separator if a text may "
                    "have several"
                )
            for label in combination:
                if label not in ids:
                    known = ", ".join(labels[:20])
                    raise UserError(f"the {name} split has the label {label!r}; known are {known}")
                targets[number, ids[label]] = 1
        if self.multi_label or not store.strata:
            return targets
        return targets.argmax(1).astype(np.int64)

    def metadata(self) -> dict[str, Any]:
        """Return the labels."""
        return {"labels": self.labels, "multi_label": self.multi_label}


def _natural(label: str) -> tuple[float, str]:
    """Sort numbers by value, before words in alphabetical order."""
    return (float(label), label) if label.isdecimal() else (float("inf"), label)
