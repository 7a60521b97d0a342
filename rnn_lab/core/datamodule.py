"""Base class of all data modules: splits, bucketed batches and build specification."""

import inspect
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, ClassVar, Protocol, cast

import numpy as np
import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from rnn_lab.core.options import check_named_arguments, plain_options
from rnn_lab.core.public_paths import public_path
from rnn_lab.core.samplers import BucketBatchSampler
from rnn_lab.core.worker_processes import initialize_worker, wait_for_idle_threads
from rnn_lab.errors import UserError


class SplitDataset(Protocol):
    """The rows of one split, gathered into batches."""

    @property
    def lengths(self) -> np.ndarray:
        """Steps of each row, `(rows,)` int64; `(rows, 2)` if each row has two sides."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: np.ndarray) -> Any: ...


class ResumableLoader(DataLoader[Any]):
    """Load batches and count them, so that training can resume in the middle of an epoch.

    Args:
        rows: The rows of a split.
        bucket_sampler: Sampler of the row indices of each batch.

    Attributes:
        num_batches_served: Batches of the current epoch that were yielded or skipped.
    """

    def __init__(self, rows: SplitDataset, bucket_sampler: BucketBatchSampler) -> None:
        dataset, pin = cast(Dataset[Any], rows), torch.cuda.is_available()
        super().__init__(dataset, sampler=bucket_sampler, batch_size=None, pin_memory=pin)
        self.bucket_sampler = bucket_sampler
        self.num_batches_served = 0

    def skip(self, num_batches: int) -> None:
        """Let the next epoch start after a number of batches."""
        self.bucket_sampler.start = self.num_batches_served = num_batches

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # torch declares its own iterator class
        self.num_batches_served = self.bucket_sampler.start
        for batch in self._start():
            self.num_batches_served += 1
            yield batch

    def _start(self) -> Iterator[Any]:
        """Start the workers, if there are any, and return the batches."""
        if not self.num_workers:
            return super().__iter__()
        own = self.worker_init_fn
        self.worker_init_fn = partial(initialize_worker, parent=os.getpid(), function=own)
        try:
            # Python 3.11 deadlocks in a worker that is forked while a thread that was not started
            # by Python, such as one of Gloo's, is acquiring the GIL.
            wait_for_idle_threads()
            return super().__iter__()
        finally:
            self.worker_init_fn = own

    def state_dict(self) -> dict[str, Any]:
        """Return nothing, as the data module stores the position; Lightning requires the method."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Do nothing, see `state_dict`."""


class LabDataModule(LightningDataModule, ABC):
    """Data for a Lightning Trainer: batches of similar lengths, sharded over processes.

    A subclass implements `split`, whose rows are gathered into batches.

    Args:
        batch_size: Rows per batch of one process.

    Attributes:
        batch_type: Class of the batches; a task declares the same.
        linked: Names of properties that are passed to a model's constructor under the same names.
        labels: Names of the labels by their spelling in the files; None to use that spelling.
        checkpoint_argument: Name of the argument that takes a checkpoint, whose vocabulary, labels
            or scaling are reused instead of fitting new ones; None if there is none.
        fitted_arguments: Names of arguments that have no effect if a checkpoint is given.
        machine_specific: Names of arguments, such as paths, that checkpoints do not store.
        batch_tokens: Steps per training batch of one process; None to count rows instead.
    """

    batch_type: ClassVar[type]
    linked: ClassVar[tuple[str, ...]] = ()
    labels: ClassVar[Mapping[str, str] | None] = None
    checkpoint_argument: ClassVar[str | None] = None
    fitted_arguments: ClassVar[tuple[str, ...]] = ()
    machine_specific: ClassVar[tuple[str, ...]] = ()
    batch_tokens: int | None = None

    def __init__(self, batch_size: int = 64) -> None:
        super().__init__()
        check_named_arguments(type(self))
        if batch_size < 1:
            raise UserError(f"batch_size must be at least 1, got {batch_size}")
        self.save_hyperparameters(logger=False)
        self._batch_size = batch_size
        self._loader: ResumableLoader | None = None
        self._resume_at = 0

    @property
    def batch_size(self) -> int:
        """Rows per batch of one process; `BatchSizeFinder` of Lightning sets it."""
        return self._batch_size

    @batch_size.setter
    def batch_size(self, value: int) -> None:
        self._batch_size = value
        if "batch_size" in self.hparams:  # from which the module is rebuilt
            self.hparams["batch_size"] = value

    @abstractmethod
    def split(self, name: str) -> SplitDataset:
        """Open a split, `train`, `valid` or `test`."""

    @property
    def test_argument(self) -> str:
        """Name of the argument whose files contain the test split, if an argument has files."""
        return "test"

    @property
    def label_names(self) -> list[str]:
        """Labels in the order of their ids; empty if rows have no labels."""
        return []

    @property
    def num_classes(self) -> int:
        """Number of labels."""
        return len(self.label_names)

    def plan(self, name: str) -> list[np.ndarray]:
        """Return the row indices of each evaluation batch of this process, in loader order."""
        return self._make_sampler(name, shuffle=False).plan()

    def row_numbers(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return the numbers, counted from 1, by which reports identify rows of a split.

        By default they count the rows of the split; data modules of files count those of the file.

        Args:
            name: The split, `train`, `valid` or `test`.
            rows: Indices of the rows, `(rows,)` int64.
        """
        return rows + 1

    def data_version(self) -> str | None:
        """Return a hash of what the splits are read from; None if it is not known.

        Runs with different versions are not comparable. It does not depend on the options of the
        tokenizer and the like, only on the records.
        """
        return None

    def describe_row(self, name: str, row: int) -> dict[str, Any]:
        """Return the cells, by column, that identify a row of a split in reports.

        By default this is its number, see `row_numbers`.

        Args:
            name: The split, `train`, `valid` or `test`.
            row: Index of the row.
        """
        return {"row": int(self.row_numbers(name, np.array([row]))[0])}

    def train_dataloader(self) -> DataLoader:
        """Load batches of similar lengths in an order that depends on the seed and the epoch."""
        self._loader = self._make_loader("train", shuffle=True)
        self._loader.skip(self._resume_at)
        self._resume_at = 0
        return self._loader

    def val_dataloader(self) -> DataLoader:
        """Load validation batches, each row exactly once over all processes."""
        return self._make_loader("valid", shuffle=False)

    def test_dataloader(self) -> DataLoader:
        """Load test batches, each row exactly once over all processes."""
        return self._make_loader("test", shuffle=False)

    def _make_loader(self, name: str, shuffle: bool) -> ResumableLoader:
        return ResumableLoader(self.split(name), self._make_sampler(name, shuffle))

    def _make_sampler(self, name: str, shuffle: bool) -> BucketBatchSampler:
        return BucketBatchSampler(
            self.split(name).lengths,
            self.batch_size,
            batch_tokens=self.batch_tokens,
            shuffle=shuffle,
            seed=int(os.environ.get("PL_GLOBAL_SEED", "0")),  # set by seed_everything
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
        )

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Copy a batch to the device, from pinned memory while the device computes."""
        own = isinstance(batch, self.batch_type)
        if own:
            return batch.to(device, non_blocking=True)
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def state_dict(self) -> dict[str, Any]:
        """Return the position within the training epoch."""
        if self._loader is None:
            return {"num_batches_served": self._resume_at}
        num_batches = len(self._loader)
        if self.trainer:  # limit_train_batches may shorten the epoch
            num_batches = int(min(num_batches, self.trainer.num_training_batches))
        return {"num_batches_served": self._loader.num_batches_served % num_batches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from the position that `state_dict` returned."""
        self._resume_at = state_dict["num_batches_served"]

    def build_spec(self) -> dict[str, Any]:
        """Return class path, arguments and preprocessing of this module as plain values."""
        accepted = inspect.signature(type(self)).parameters.keys() - set(self.machine_specific)
        spec: dict[str, Any] = {
            "class_path": public_path(type(self)),
            "init_args": {k: plain_options(v) for k, v in self.hparams.items() if k in accepted},
        }
        if self.label_names:
            spec["labels"] = self.label_names
        return spec
