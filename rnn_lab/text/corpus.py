"""Corpora: texts that are tokenized once, stored on disk and read memory-mapped.

A corpus is a folder with `corpus.json`. A corpus of records also holds `raw.*`, the texts of each
source as they were read, and `<split>.*`, the token ids of its rows.
"""

import json
from abc import ABC, abstractmethod
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from torch import Tensor

from rnn_lab.errors import UserError
from rnn_lab.io.hashing import hash64, sample_by_hash
from rnn_lab.io.progress import progress
from rnn_lab.io.ragged import RaggedArrayWriter, TextStore, open_memmap
from rnn_lab.text.padding import gather_padded

FORMAT = 2  # increase it when a change of this file or of a task changes the written files
Sources = Mapping[str, Callable[[], Iterable[Any]]]
Row = tuple[list[int], ...]  # token ids of each column


class Corpus(ABC):
    """An opened corpus.

    Args:
        folder: Folder of the corpus.

    Attributes:
        metadata: Plain values that the builder stored.
        notices: Messages about the data, such as the number of duplicates.
        tokenizer: The tokenizer with its vocabulary.
        splits: The splits by name.
    """

    tokenizer_class: ClassVar[Any]

    def __init__(self, folder: Path) -> None:
        self.metadata = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
        self.notices: list[str] = self.metadata["notices"]
        self.tokenizer: Any = self.tokenizer_class.from_state_dict(self.metadata["tokenizer"])
        self.splits = {name: self.open_split(folder, name) for name in self.metadata["splits"]}

    @abstractmethod
    def open_split(self, folder: Path, name: str) -> Any:
        """Open a split."""


class CorpusBuilder(ABC):
    """Build a corpus: learn the vocabulary from the training split, encode and write all splits.

    Args:
        tokenizer: A tokenizer to use; None: learn one from the training split.
    """

    corpus_class: ClassVar[type[Corpus]]

    def __init__(self, tokenizer: Any = None) -> None:
        self.tokenizer = tokenizer
        self.notices: list[str] = []

    @property
    @abstractmethod
    def key(self) -> dict[str, Any]:
        """Everything besides the sources that the corpus depends on, as plain values."""

    def build(self, folder: Path, sources: Sources) -> None:
        """Write the corpus.

        Args:
            folder: An empty folder.
            sources: Readers of the records of each split, by name.

        Raises:
            UserError: If a split is empty or a record is invalid.
        """
        splits = self.open_sources(folder, sources)
        if self.tokenizer is None:
            self.tokenizer = self.learn(splits["train"])
        for name, split in splits.items():
            self.write_split(folder, name, split)
        metadata = {
            "notices": self.notices,
            "tokenizer": self.tokenizer.state_dict(),
            "splits": list(splits),
            **self.metadata(),
        }
        (folder / "corpus.json").write_text(json.dumps(metadata), encoding="utf-8")

    def open_sources(self, folder: Path, sources: Sources) -> dict[str, Any]:
        """Return the input of each split, by name."""
        return dict(sources)

    @abstractmethod
    def learn(self, train: Any) -> Any:
        """Learn a tokenizer from the training split."""

    @abstractmethod
    def write_split(self, folder: Path, name: str, split: Any) -> Any:
        """Encode and write a split; add messages to `notices`."""

    def metadata(self) -> dict[str, Any]:
        """Return further plain values to store in the corpus."""
        return {}


class RecordStore:
    """Records of one source, written to disk so that every later pass is a plain read.

    Args:
        folder: Folder of the corpus.
        name: Name of the source, a split.
        columns: Names of the texts of a record.
        records: Texts of each record, and its stratum, such as its labels.

    Attributes:
        texts: Texts by column.
        hashes: Hash of the first text of each record, `(records,)` uint64.
        strata: Number of each stratum.
        stratum: Number of the stratum of each record, `(records,)` int64.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        columns: Sequence[str],
        records: Iterable[tuple[Sequence[str], Hashable]],
    ) -> None:
        self.name = name
        self.strata: dict[Any, int] = {}
        hashes, stratum_of_record = array("Q"), array("q")
        files = [f"raw.{name}.{column}" for column in columns]
        with ExitStack() as stack:
            writers = [
                stack.enter_context(closing(RaggedArrayWriter(folder, file, "B"))) for file in files
            ]
            for texts, stratum in progress(records, f"reading {name}"):
                for writer, text in zip(writers, texts, strict=True):
                    writer.append(text.encode())
                hashes.append(hash64(texts[0].encode()))
                stratum_of_record.append(self.strata.setdefault(stratum, len(self.strata)))
        self.texts = {c: TextStore(folder, file) for c, file in zip(columns, files, strict=True)}
        self.hashes = np.frombuffer(hashes, np.uint64)
        self.stratum = np.frombuffer(stratum_of_record, np.int64)

    def __len__(self) -> int:
        return len(self.hashes)

    def draw(self, rows: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw a stratified random part of some rows, which depends on seed and texts alone.

        Rows of one stratum with equal first texts are drawn together.

        Returns:
            The remaining and the drawn rows, both in ascending order.
        """
        drawn = np.zeros(len(rows), bool)
        strata = self.stratum[rows]
        for stratum in np.unique(strata):
            members = np.flatnonzero(strata == stratum)
            drawn[members] = sample_by_hash(self.hashes[rows[members]], fraction, seed)
        return rows[~drawn], rows[drawn]


class RecordSplit(NamedTuple):
    """Rows of a record store that make up a split."""

    store: RecordStore
    rows: np.ndarray


class DrawnSplits(NamedTuple):
    """How splits are drawn from the training split if the dataset does not provide them.

    Attributes:
        valid_fraction: Fraction to validate on; None: `default_valid_fraction`.
        test_fraction: Fraction to test on.
        seed: Seed of the draw.
        default_valid_fraction: Fraction to validate on if there is no validation split.
    """

    valid_fraction: float | None = None
    test_fraction: float = 0.0
    seed: int = 0
    default_valid_fraction: float = 0.1

    def fractions(self, provided: Collection[str]) -> dict[str, float]:
        """Return the fraction of each split to draw, in this order.

        Args:
            provided: Splits that the dataset provides.

        Raises:
            UserError: If a fraction is set for a split that the dataset provides.
        """
        fractions = {"test": self.test_fraction, "valid": self.valid_fraction}
        for name, fraction in fractions.items():
            if fraction and {"train", name} <= set(provided):
                raise UserError(
                    f"split.{name}_fraction has no effect if there is a {name} split: remove it, "
                    f"or the {name} split"
                )
        fractions["valid"] = self.valid_fraction or self.default_valid_fraction
        drawn = {name: each for name, each in fractions.items() if name not in provided and each}
        return drawn if "train" in provided else {}


class RecordCorpusBuilder(CorpusBuilder):
    """Build a corpus of records, whose rows can be read in any order.

    Args:
        tokenizer: A tokenizer to use; None: learn one from the training split.

    Attributes:
        drawn: How missing splits are drawn from the training split.
        columns: Names of the texts of a record that are encoded.
        temporary_columns: Names of further texts, which are removed after encoding.
        records_name: What records are called in messages, in the plural.
        compared: What the first texts are called in the message on duplicates.
    """

    columns: ClassVar[tuple[str, ...]]
    temporary_columns: ClassVar[tuple[str, ...]] = ()
    records_name: ClassVar[str]
    compared: ClassVar[str]

    drawn: DrawnSplits = DrawnSplits()

    @abstractmethod
    def texts(self, record: Any) -> tuple[Sequence[str], Hashable]:
        """Return the texts of a record, temporary ones last, and its stratum for drawn splits."""

    @abstractmethod
    def encode(self, split: RecordSplit) -> Iterator[Row]:
        """Encode the rows of a split."""

    @abstractmethod
    def validate(self, row: Row, training: bool) -> tuple[Row | None, str]:
        """Return the row to write, None to leave it out, and the problem that it has, if any."""

    @abstractmethod
    def describe(self, name: str, problem: str, count: int) -> str:
        """Return the message on the number of rows with a problem."""

    def empty_split_hint(self, name: str, store: RecordStore) -> str:
        """Return what is recommended if a drawn split is empty.

        Args:
            name: The split.
            store: The records that it was drawn from.
        """
        return f"set --data.{name}, or provide more {self.records_name}"

    def open_sources(self, folder: Path, sources: Sources) -> dict[str, RecordSplit]:
        """Store the records of all sources, and draw missing splits from the training split."""
        columns = (*self.columns, *self.temporary_columns)
        stores = {
            name: RecordStore(folder, name, columns, map(self.texts, read()))
            for name, read in sources.items()
        }
        self.notices += self._count_duplicates(stores)
        splits = {name: RecordSplit(s, np.arange(len(s))) for name, s in stores.items()}
        for name, fraction in self.drawn.fractions(stores).items():
            store, rows = splits["train"]
            rows, drawn = store.draw(rows, fraction, self.drawn.seed)
            splits["train"], splits[name] = RecordSplit(store, rows), RecordSplit(store, drawn)
        return splits

    def _count_duplicates(self, stores: Mapping[str, RecordStore]) -> list[str]:
        if "train" not in stores or "test" not in stores:
            return []
        count = int(np.isin(stores["test"].hashes, stores["train"].hashes).sum())
        return [f"{self.compared} that also occur in training: {count:,}"] if count else []

    def build(self, folder: Path, sources: Sources) -> None:
        """See `CorpusBuilder`."""
        super().build(folder, sources)
        for column in self.temporary_columns:
            for file in folder.glob(f"raw.*.{column}.*"):
                file.unlink()

    def write_split(self, folder: Path, name: str, split: RecordSplit) -> np.ndarray:
        """Encode and write a split.

        Returns:
            The rows that were written, `(rows,)` int64.

        Raises:
            UserError: If no row is left.
        """
        written = array("q")
        problems: Counter[str] = Counter()
        encoded = progress(self.encode(split), f"encoding {name}", len(split.rows))
        with ExitStack() as stack:
            writers = [
                stack.enter_context(closing(RaggedArrayWriter(folder, f"{name}.{column}", "i")))
                for column in self.columns
            ]
            for row, ids in zip(split.rows, encoded, strict=True):
                valid_ids, problem = self.validate(ids, name == "train")
                if problem:
                    problems[problem] += 1
                if valid_ids is None:
                    continue
                for writer, column_ids in zip(writers, valid_ids, strict=True):
                    writer.append(column_ids)
                written.append(row)
        if not written:
            hint = self.empty_split_hint(name, split.store) if name != split.store.name else ""
            raise UserError(f"the {name} split is empty{hint and ': '}{hint}")
        rows = np.frombuffer(written, np.int64)
        rows.tofile(folder / f"{name}.rows.bin")
        (folder / f"{name}.source").write_text(split.store.name)
        self.notices += [self.describe(name, *item) for item in sorted(problems.items())]
        return rows


class RecordDataset:
    """Rows of one split of a corpus of records, read from disk on demand.

    Args:
        folder: Folder of the corpus.
        name: The split, `train`, `valid` or `test`.

    Attributes:
        columns: Names of the texts of a record.
        ids: Token ids of all rows, end to end, for each column.
        offsets: Start of each row in the ids, and the end of the last, for each column.
    """

    columns: ClassVar[tuple[str, ...]]

    def __init__(self, folder: Path, name: str) -> None:
        self.name, columns = name, self.columns
        self.ids = [open_memmap(folder / f"{name}.{c}.bin", "<i4") for c in columns]
        self.offsets = [open_memmap(folder / f"{name}.{c}.offsets.bin", "<i8") for c in columns]
        self._rows = open_memmap(folder / f"{name}.rows.bin", "<i8")
        source = (folder / f"{name}.source").read_text()
        self._texts = [TextStore(folder, f"raw.{source}.{column}") for column in columns]

    def __len__(self) -> int:
        return len(self._rows)

    def raw_text(self, row: int, column: int = 0) -> str:
        """Return the raw text of a row."""
        return self._texts[column][self._rows[row]]

    def gather(self, rows: np.ndarray, column: int = 0) -> tuple[Tensor, Tensor]:
        """Gather padded token ids `(rows, time)` and lengths `(rows,)`."""
        return gather_padded(self.ids[column], self.offsets[column], rows)
