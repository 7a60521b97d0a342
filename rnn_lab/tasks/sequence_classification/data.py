"""Labeled series: generated ones, and files in the format of the UEA archive."""

import logging
from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.errors import UserError
from rnn_lab.io.hashing import hash64, sample_by_hash
from rnn_lab.io.ts_files import TSFile
from rnn_lab.tasks.sequence_classification.batch import SequenceBatch
from rnn_lab.tasks.sequence_classification.chirps import CHIRP_LABELS, chirps
from rnn_lab.tasks.sequence_classification.series import SeriesScaler, SeriesSplit

log = logging.getLogger(__name__)


class Cases(NamedTuple):
    """Cases of one file, all of them or a part.

    Attributes:
        source: Path of the file.
        classes: Its labels in the order of its header.
        series: Values of each case, `(time, dimensions)` float64, NaN where missing.
        labels: Label of each case.
    """

    source: Path
    classes: list[str]
    series: list[np.ndarray]
    labels: list[str]

    def take(self, rows: np.ndarray) -> "Cases":
        """Take some cases, by their numbers."""
        return self._replace(
            series=[self.series[row] for row in rows], labels=[self.labels[row] for row in rows]
        )


def read_cases(path: Path) -> Cases:
    """Read a `.ts` file with labels whole.

    Raises:
        UserError: If it is damaged, see `TSFile`, or holds no case.
    """
    archive = TSFile(path)
    cases = list(archive)
    if not cases:
        raise UserError(f"{path} holds no case after @data")
    series, labels = zip(*cases, strict=True)
    return Cases(path, archive.classes, list(series), list(labels))


class ArchiveDataModule(LabDataModule):
    """Labeled series of equal or unequal length, from a `.ts` file for each split.

    Each dimension is brought to zero mean and unit deviation, both learned from the training
    series alone. A missing value is read as its dimension's mean in training; how many there are
    is reported.

    Args:
        batch_size: Series in a batch of one process.
        root: Folder of datasets; None takes `RNN_LAB_DATA`, else the user's cache folder.
        valid_fraction: Part of the training series to validate on where no file is given, drawn
            within each label, equal series together; with 0 all of them are trained on.
        split_seed: What this part depends on.
        vocab_from_checkpoint: Checkpoint whose labels and scaling are used; None: fit them.
    """

    batch_type = SequenceBatch
    linked = ("input_dim", "num_classes")
    checkpoint_argument = "vocab_from_checkpoint"
    machine_specific: ClassVar[tuple[str, ...]] = ("root", "vocab_from_checkpoint")

    def __init__(
        self,
        batch_size: int = 32,
        *,
        root: str | None = None,
        valid_fraction: float = 0.2,
        split_seed: int = 0,
        vocab_from_checkpoint: str | None = None,
    ) -> None:
        super().__init__(batch_size)
        if not 0 <= valid_fraction < 1:
            raise UserError(f"valid_fraction must be from 0 to below 1, got {valid_fraction}")
        self.root = root
        self.valid_fraction = valid_fraction
        self.split_seed = split_seed
        self._restored = _read_back(vocab_from_checkpoint) if vocab_from_checkpoint else None
        self._splits: dict[str, SeriesSplit] = {}

    @abstractmethod
    def path(self, split: str) -> Path | None:
        """Find the file of a split; None where it has none of its own."""

    def missing_split_hint(self, split: str) -> str:
        """Say what would give a split that is missing."""
        if split != "valid":
            return "it gives train and test"
        return (
            "give a --data.valid_fraction above 0, or train without one: "
            "--trainer.limit_val_batches=0"
        )

    def split(self, name: str) -> SeriesSplit:
        """Open a split, `train`, `valid` or `test`."""
        if name not in self._splits:
            self._splits[name] = self._open(name)
        return self._splits[name]

    def _open(self, name: str) -> SeriesSplit:
        cases = self._cases(name)
        if cases is None:
            raise UserError(
                f"{type(self).__name__} has no {name} split: {self.missing_split_hint(name)}"
            )
        self._check(cases)
        missing = sum(int(np.isnan(values).sum()) for values in cases.series)
        if missing:
            self._tell(f"{missing} missing values of the {name} split are read as the mean")
        place = {label: i for i, label in enumerate(self.label_names)}
        return SeriesSplit(
            list(map(self.scaler.apply, cases.series)), [place[label] for label in cases.labels]
        )

    def _check(self, cases: Cases) -> None:
        """Refuse labels and dimensions that training does not have."""
        for label in cases.labels:
            if label not in self.label_names:
                known = ", ".join(self.label_names[:20])
                raise UserError(f"{cases.source} has the label {label!r}; known are {known}")
        width, wanted = cases.series[0].shape[1], self.input_dim
        if width != wanted:
            raise UserError(
                f"{cases.source} has {width} dimensions, wanted {wanted} as in training"
            )

    def _cases(self, name: str) -> Cases | None:
        if name == "train" or (name == "valid" and self.path(name) is None):
            return self._parts.get(name)
        path = self.path(name)
        return None if path is None else read_cases(path)

    @cached_property
    def _parts(self) -> dict[str, Cases]:
        """The training series, and those drawn from them to validate on."""
        path = self.path("train")
        if path is None:
            return {}
        cases = read_cases(path)
        if not self.valid_fraction or self.path("valid") is not None:
            return {"train": cases}
        taken = _drawn_within_labels(cases, self.valid_fraction, self.split_seed)
        if not taken.any():
            raise UserError(
                f"a valid_fraction of {self.valid_fraction} takes none of the {len(taken)} series "
                f"of {path}: {self.missing_split_hint('valid')}"
            )
        parts = {"train": ~taken, "valid": taken}
        return {name: cases.take(np.flatnonzero(rows)) for name, rows in parts.items()}

    @cached_property
    def scaler(self) -> SeriesScaler:
        """What divides the values, learned from the training series."""
        if self._restored:
            return self._restored["scaler"]
        scaler, notices = SeriesScaler.fit(self._train.series)
        for notice in notices:
            self._tell(notice)
        return scaler

    @property
    def _train(self) -> Cases:
        if "train" not in self._parts:
            raise UserError(
                f"{type(self).__name__} has no train split: {self.missing_split_hint('train')}"
            )
        return self._parts["train"]

    def _tell(self, notice: str) -> None:
        log.info("%s: %s", type(self).__name__, notice)

    @property
    def label_names(self) -> list[str]:
        """The labels in the order of the training file's header."""
        return list(self._restored["labels"]) if self._restored else self._train.classes

    @property
    def input_dim(self) -> int:
        """Features of a step."""
        return len(self.scaler.mean)

    @property
    def class_counts(self) -> list[int]:
        """Training series of each label."""
        if self._restored:
            return self._restored["class_counts"]
        return self.split("train").class_counts(self.num_classes)

    def build_spec(self) -> dict[str, Any]:
        """Say how to build this module elsewhere and how it reads series, as plain values."""
        return {
            **super().build_spec(),
            "input_dim": self.input_dim,
            "scaler": self.scaler.state_dict(),
            "class_counts": self.class_counts,
        }


def _read_back(checkpoint: str) -> dict[str, Any]:
    """Take the scaling, the labels and their counts out of a checkpoint."""
    opened = Checkpoint.open(checkpoint)
    if not issubclass(opened.data_class, ArchiveDataModule):
        source = opened.data["class_path"]
        raise UserError(f"{checkpoint} labels no series: it was trained on {source}")
    return opened.restore(_taken_up, opened.data)


def _taken_up(data: dict[str, Any]) -> dict[str, Any]:
    lists = {name: list(data[name]) for name in ("labels", "class_counts")}
    return {**data, **lists, "scaler": SeriesScaler.from_state_dict(data["scaler"])}


def _drawn_within_labels(cases: Cases, fraction: float, seed: int) -> np.ndarray:
    """Draw about a fraction of the cases of each label; whether each is drawn."""
    labels = np.array(cases.labels)
    digests = np.array([hash64(values.tobytes()) for values in cases.series], np.uint64)
    taken = np.zeros(len(labels), bool)
    for label in cases.classes:
        same = np.flatnonzero(labels == label)
        taken[same] = sample_by_hash(digests[same], fraction, seed)
    return taken


class LabeledSeriesFiles(ArchiveDataModule):
    """Your own series with labels: a `.ts` file for each split, as UEA and UCR publish them.

    Args:
        train: File to train on, also as `.gz`.
        valid: What to validate on; None takes a part of `train`.
        test: What to test on.
        batch_size: See `ArchiveDataModule`, as all that follow.
    """

    machine_specific = (*ArchiveDataModule.machine_specific, "train", "valid", "test")

    def __init__(
        self,
        train: str | None = None,
        valid: str | None = None,
        test: str | None = None,
        *,
        batch_size: int = 32,
        valid_fraction: float = 0.2,
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
            raise UserError("LabeledSeriesFiles needs a file to train on: give --data.train=FILE")
        self.files = {"train": train, "valid": valid, "test": test}

    def path(self, split: str) -> Path | None:
        """Take the file that was given."""
        path = self.files.get(split)
        return None if path is None else Path(path).expanduser()

    def missing_split_hint(self, split: str) -> str:
        """Name the option that would give the split."""
        own = f"give --data.{split}=FILE"
        return f"{own}; or {super().missing_split_hint(split)}" if split == "valid" else own


class SyntheticChirps(LabDataModule):
    """Generated waves, labeled by how their pitch moves: only the order of steps tells.

    Args:
        train_size: Series to train on.
        valid_size: Series to validate on.
        test_size: Series to test on.
        input_dim: Features of a step.
        data_seed: Another seed draws other series.
        batch_size: Series in a batch of one process.
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
        for name, size in {**self.sizes, "input": input_dim}.items():
            if size < 1:
                raise UserError(f"the {name} size must be at least 1, got {size}")
        self.input_dim = input_dim
        self.data_seed = data_seed

    @property
    def label_names(self) -> list[str]:
        """How the pitch moves."""
        return list(CHIRP_LABELS)

    @property
    def class_counts(self) -> list[int]:
        """Training series of each label."""
        return self.split("train").class_counts(self.num_classes)

    def split(self, name: str) -> SeriesSplit:
        """Draw a split, `train`, `valid` or `test`."""
        return self._splits[name]

    @cached_property
    def _splits(self) -> dict[str, SeriesSplit]:
        return {name: self._draw(name) for name in self.sizes}

    def _draw(self, name: str) -> SeriesSplit:
        drawn = chirps(self.sizes[name], self.data_seed, name, self.input_dim)
        series, labels = zip(*drawn, strict=True)
        return SeriesSplit(series, [self.label_names.index(label) for label in labels])

    def build_spec(self) -> dict[str, Any]:
        """Say how to build this module elsewhere, as plain values."""
        return {**super().build_spec(), "input_dim": self.input_dim}
