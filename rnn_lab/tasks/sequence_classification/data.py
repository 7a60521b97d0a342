"""Data modules of labeled sequences: the base class, your own files, and generated chirps."""

import logging
from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.core.generated import check_split_sizes
from rnn_lab.errors import UserError
from rnn_lab.io.hashing import hash64, sample_by_hash
from rnn_lab.io.progress import progress
from rnn_lab.io.summaries import describe_lengths, format_counts
from rnn_lab.io.ts_files import TSFile
from rnn_lab.tasks.sequence_classification.batch import SequenceBatch
from rnn_lab.tasks.sequence_classification.chirps import CHIRP_LABELS, bytes_per_chirp, chirps
from rnn_lab.tasks.sequence_classification.dataset import SequenceDataset
from rnn_lab.tasks.sequence_classification.scaler import StandardScaler

log = logging.getLogger(__name__)


class LabeledSequences(NamedTuple):
    """Labeled sequences of one file.

    Attributes:
        source: Path of the file.
        classes: Labels in the order of the file's header.
        sequences: Values of each sequence, `(time, dimensions)` float64, NaN where missing.
        labels: Label of each sequence.
        rows: Index of each sequence in the file, `(sequences,)`.
    """

    source: Path
    classes: list[str]
    sequences: list[np.ndarray]
    labels: list[str]
    rows: np.ndarray

    def take(self, rows: np.ndarray) -> "LabeledSequences":
        """Return the sequences with some indices."""
        return self._replace(
            sequences=[self.sequences[row] for row in rows],
            labels=[self.labels[row] for row in rows],
            rows=self.rows[rows],
        )


class Preprocessing(NamedTuple):
    """What a checkpoint stores of the data: scaler, labels and training sequences per label."""

    scaler: StandardScaler
    labels: list[str]
    class_counts: list[int]


def read_labeled_sequences(path: Path) -> LabeledSequences:
    """Read all sequences of a labeled `.ts` file.

    Raises:
        UserError: If the file is damaged, see `TSFile`, or has no sequence.
    """
    file = TSFile(path)
    rows = list(progress(file, f"reading {path.name}"))
    if not rows:
        raise UserError(f"{path} has no sequence after @data")
    sequences, labels = zip(*rows, strict=True)
    return LabeledSequences(path, file.classes, list(sequences), list(labels), np.arange(len(rows)))


class SequenceDataModule(LabDataModule):
    """Labeled sequences of equal or variable length from one `.ts` file per split.

    Each dimension is standardized with mean and standard deviation of the training split. Missing
    values are replaced by the training mean; their number is logged.

    Args:
        batch_size: Sequences per batch of one process.
        root: Folder of datasets; None: `RNN_LAB_DATA`, or else the user's cache folder.
        valid_fraction: Fraction of the training split to validate on if there is no validation
            file, stratified by label, with duplicates in the same split; 0 uses all sequences
            for training, None a fifth for validation.
        split_seed: Seed of the validation split.
        vocab_from_checkpoint: Checkpoint whose labels and scaling are used instead of new ones.
    """

    batch_type = SequenceBatch
    linked = ("input_dim", "num_classes")
    checkpoint_argument = "vocab_from_checkpoint"
    machine_specific: ClassVar[tuple[str, ...]] = ("root", "vocab_from_checkpoint")
    default_valid_fraction: ClassVar[float] = 0.2

    def __init__(
        self,
        batch_size: int = 32,
        *,
        root: str | None = None,
        valid_fraction: float | None = None,
        split_seed: int = 0,
        vocab_from_checkpoint: str | None = None,
    ) -> None:
        super().__init__(batch_size)
        if valid_fraction is None:
            valid_fraction = self.default_valid_fraction
        if not 0 <= valid_fraction < 1:
            raise UserError(f"valid_fraction must be from 0 to below 1, got {valid_fraction}")
        self.root = root
        self.valid_fraction = valid_fraction
        self.split_seed = split_seed
        self._restored: Preprocessing | None = None
        if vocab_from_checkpoint:
            self._restored = load_preprocessing(vocab_from_checkpoint)
        self._splits: dict[str, SequenceDataset] = {}

    @abstractmethod
    def path(self, split: str) -> Path | None:
        """Return the file of a split; None if it has none."""

    def missing_split_hint(self, split: str) -> str:
        """Return what an error message recommends if a split is missing."""
        if split != "valid":
            return "its splits are train and test"
        return (
            "set --data.valid_fraction above 0, or train without validation: "
            "--trainer.limit_val_batches=0"
        )

    def split(self, name: str) -> SequenceDataset:
        """Open a split, `train`, `valid` or `test`.

        Raises:
            UserError: If there is no such split, or its labels or dimensions differ from training.
        """
        if name not in self._splits:
            self._splits[name] = self._load(name)
        return self._splits[name]

    def _load(self, name: str) -> SequenceDataset:
        data = self._read(name)
        if data is None:
            raise UserError(
                f"{type(self).__name__} has no {name} split: {self.missing_split_hint(name)}"
            )
        self._check(data)
        num_missing = sum(int(np.isnan(values).sum()) for values in data.sequences)
        if num_missing:
            self._log(f"{num_missing} missing values of the {name} split are read as the mean")
        ids = {label: i for i, label in enumerate(self.label_names)}
        sequences = list(map(self.scaler.apply, data.sequences))
        rows = SequenceDataset(sequences, [ids[label] for label in data.labels], data.rows)
        if name == "train":
            counts = format_counts(self.label_names, rows.class_counts(self.num_classes))
            self._log(f"the train split has {len(rows):,} sequences: {counts}")
            self._log(describe_lengths("sequence", rows.lengths, "steps"))
        return rows

    def _check(self, data: LabeledSequences) -> None:
        """Raise a UserError if labels or dimensions differ from those of training."""
        for label in data.labels:
            if label not in self.label_names:
                known = ", ".join(self.label_names[:20])
                raise UserError(f"{data.source} has the label {label!r}; known are {known}")
        width, expected = data.sequences[0].shape[1], self.input_dim
        if width != expected:
            raise UserError(
                f"{data.source} has {width} dimensions, expected {expected} as in training"
            )

    def _read(self, name: str) -> LabeledSequences | None:
        if name == "train" or (name == "valid" and self.path(name) is None):
            return self._train_and_valid.get(name)
        path = self.path(name)
        return None if path is None else read_labeled_sequences(path)

    @cached_property
    def _train_and_valid(self) -> dict[str, LabeledSequences]:
        """The training sequences, and the validation sequences that are drawn from them."""
        path = self.path("train")
        if path is None:
            return {}
        data = read_labeled_sequences(path)
        if not self.valid_fraction or self.path("valid") is not None:
            return {"train": data}
        drawn = _draw_by_label(data, self.valid_fraction, self.split_seed)
        if not drawn.any():
            raise UserError(
                f"valid_fraction={self.valid_fraction} selects none of the {len(drawn)} sequences "
                f"of {path}: {self.missing_split_hint('valid')}"
            )
        masks = {"train": ~drawn, "valid": drawn}
        return {name: data.take(np.flatnonzero(mask)) for name, mask in masks.items()}

    @cached_property
    def scaler(self) -> StandardScaler:
        """Scaler of the values, fitted on the training split."""
        if self._restored:
            return self._restored.scaler
        scaler, notices = StandardScaler.fit(self._train.sequences)
        for notice in notices:
            self._log(notice)
        return scaler

    @property
    def _train(self) -> LabeledSequences:
        if "train" not in self._train_and_valid:
            raise UserError(
                f"{type(self).__name__} has no train split: {self.missing_split_hint('train')}"
            )
        return self._train_and_valid["train"]

    def _log(self, notice: str) -> None:
        log.info("%s: %s", type(self).__name__, notice)

    @property
    def label_names(self) -> list[str]:
        """Labels in the order of the training file's header."""
        return list(self._restored.labels) if self._restored else self._train.classes

    @property
    def input_dim(self) -> int:
        """Features per step."""
        return len(self.scaler.mean)

    @property
    def class_counts(self) -> list[int]:
        """Number of training sequences of each label."""
        if self._restored:
            return self._restored.class_counts
        return self.split("train").class_counts(self.num_classes)

    def row_numbers(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return the numbers of sequences in their file."""
        numbers: np.ndarray = self.split(name).rows[rows] + 1
        return numbers

    def describe_row(self, name: str, row: int) -> dict[str, Any]:
        """Return the number of a sequence and its steps."""
        return {**super().describe_row(name, row), "steps": int(self.split(name).lengths[row])}

    def build_spec(self) -> dict[str, Any]:
        """Return how to build this module again and its preprocessing, as plain values."""
        return {
            **super().build_spec(),
            "input_dim": self.input_dim,
            "scaler": self.scaler.state_dict(),
            "class_counts": self.class_counts,
        }


def load_preprocessing(path: str) -> Preprocessing:
    """Load scaler, labels and class counts from a checkpoint.

    Raises:
        UserError: If the checkpoint is not one of sequence classification from files.
    """
    checkpoint = Checkpoint.open(path)
    if not issubclass(checkpoint.data_class, SequenceDataModule):
        source = checkpoint.data["class_path"]
        raise UserError(f"{path} is not a sequence classification checkpoint: trained on {source}")
    return checkpoint.restore(_restore_preprocessing, checkpoint.data)


def _restore_preprocessing(data: dict[str, Any]) -> Preprocessing:
    scaler = StandardScaler.from_state_dict(data["scaler"])
    return Preprocessing(scaler, list(data["labels"]), list(data["class_counts"]))


def _draw_by_label(data: LabeledSequences, fraction: float, seed: int) -> np.ndarray:
    """Draw about a fraction of the sequences of each label; return a mask of those drawn."""
    labels = np.array(data.labels)
    hashes = np.array([hash64(values.tobytes()) for values in data.sequences], np.uint64)
    drawn = np.zeros(len(labels), bool)
    for label in data.classes:
        members = np.flatnonzero(labels == label)
        drawn[members] = sample_by_hash(hashes[members], fraction, seed)
    return drawn


class LabeledSeriesFiles(SequenceDataModule):
    """Your own labeled time series: one `.ts` file per split, the format of UEA and UCR.

    Args:
        train: Training file, also as `.gz`.
        valid: Validation file; None: a fraction of `train`.
        test: Test file.
        batch_size: See `SequenceDataModule`, also for the following arguments.
    """

    machine_specific = (*SequenceDataModule.machine_specific, "train", "valid", "test")

    def __init__(
        self,
        train: str | None = None,
        valid: str | None = None,
        test: str | None = None,
        *,
        batch_size: int = 32,
        valid_fraction: float | None = None,
        split_seed: int = 0,
        vocab_from_checkpoint: str | None = None,
    ) -> None:
        super().__init__(
            batch_size,
            valid_fraction=valid_fraction,
            split_seed=split_seed,
            vocab_from_checkpoint=vocab_from_checkpoint,
        )
        if train is None and not vocab_from_checkpoint:
            raise UserError("LabeledSeriesFiles needs a training file: set --data.train=FILE")
        if valid_fraction and valid is not None:
            raise UserError("valid_fraction has no effect if valid is set: remove one of them")
        self.files = {"train": train, "valid": valid, "test": test}

    def path(self, split: str) -> Path | None:
        """Return the file of a split; None if it has none."""
        path = self.files.get(split)
        return None if path is None else Path(path).expanduser()

    def missing_split_hint(self, split: str) -> str:
        """Name the option that sets the split."""
        hint = f"set --data.{split}=FILE"
        return f"{hint}; or {super().missing_split_hint(split)}" if split == "valid" else hint


class SyntheticChirps(LabDataModule):
    """Generated waves labeled by how their frequency changes, which only the order shows.

    Args:
        train_size: Number of training sequences.
        valid_size: Number of validation sequences.
        test_size: Number of test sequences.
        input_dim: Features per step.
        data_seed: Seed of the generator.
        batch_size: Sequences per batch of one process.
    """

    batch_type = SequenceBatch
    linked = ("input_dim", "num_classes")
    labels: ClassVar[Mapping[str, str]] = {name: name for name in CHIRP_LABELS}

    def __init__(
        self,
        train_size: int = 2000,
        valid_size: int = 500,
        test_size: int = 500,
        input_dim: int = 2,
        data_seed: int = 0,
        *,
        batch_size: int = 32,
    ) -> None:
        super().__init__(batch_size)
        self.sizes = {"train": train_size, "valid": valid_size, "test": test_size}
        if input_dim < 1:
            raise UserError(f"input_dim must be at least 1, got {input_dim}")
        check_split_sizes(self.sizes, bytes_per_chirp(input_dim))
        self.input_dim = input_dim
        self.data_seed = data_seed

    @property
    def label_names(self) -> list[str]:
        """Names of the frequency changes."""
        return list(CHIRP_LABELS)

    @property
    def class_counts(self) -> list[int]:
        """Number of training sequences of each label."""
        return self.split("train").class_counts(self.num_classes)

    def split(self, name: str) -> SequenceDataset:
        """Open a split, `train`, `valid` or `test`."""
        return self._splits[name]

    @cached_property
    def _splits(self) -> dict[str, SequenceDataset]:
        return {name: self._generate(name) for name in self.sizes}

    def _generate(self, name: str) -> SequenceDataset:
        generated = chirps(self.sizes[name], self.data_seed, name, self.input_dim)
        sequences, labels = zip(*generated, strict=True)
        return SequenceDataset(sequences, [self.label_names.index(label) for label in labels])

    def build_spec(self) -> dict[str, Any]:
        """Return how to build this module again, as plain values."""
        return {**super().build_spec(), "input_dim": self.input_dim}
