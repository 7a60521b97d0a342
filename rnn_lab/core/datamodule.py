"""What all data modules share: splits, bucketed batches, what a checkpoint keeps."""

import inspect
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Protocol, cast

import numpy as np
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from rnn_lab.core.options import plain_options
from rnn_lab.core.public_paths import public_path
from rnn_lab.core.samplers import BucketBatchSampler
from rnn_lab.errors import UserError

FORK_GRACE_SECONDS = (
    0.05  # seconds in which threads of a collective operation that is over come to rest
)


class SplitDataset(Protocol):
    """The rows of one split: how long they are, and batches of them by one gather."""

    @property
    def lengths(self) -> np.ndarray:
        """Steps of each row, `(rows,)` int64, of rows with two sides `(rows, 2)`."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: np.ndarray) -> Any: ...


class ResumableLoader(DataLoader[Any]):
    """Hands out planned batches and counts them, for a resume in the middle of an epoch.

    Args:
        rows: The rows of a split.
        buckets: Plans the batches.
    """

    def __init__(self, rows: SplitDataset, buckets: BucketBatchSampler) -> None:
        super().__init__(cast(Dataset[Any], rows), sampler=buckets, batch_size=None)
        self.buckets = buckets
        self.num_batches_served = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # torch promises a class of its own
        if self.num_workers:
            # Python 3.11 hangs in a worker that is forked while a thread which Python has not
            # started, such as one of Gloo's, is just asking for the interpreter.
            time.sleep(FORK_GRACE_SECONDS)
        self.num_batches_served = self.buckets.start
        for batch in super().__iter__():
            self.num_batches_served += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Nothing, the data module keeps the position; Lightning warns where there is no method."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Do nothing, see `state_dict`."""


class LabDataModule(LightningDataModule, ABC):
    """Data for a Lightning Trainer: batches of like lengths, sharded over processes.

    A subclass opens its splits, whose rows are gathered into batches.

    Args:
        batch_size: Rows in a batch of one process.

    Attributes:
        batch_type: The batch it makes; a task declares the same.
        checkpoint_argument: Its argument that takes a checkpoint, whose vocabulary, labels or
            scaling are used instead of learning them; None: there is none.
        linked: Its properties that a model's constructor receives under the same names.
    """

    batch_type: ClassVar[type]
    linked: ClassVar[tuple[str, ...]] = ()
    labels: ClassVar[Mapping[str, str] | None] = None  # names of the labels, by what files say
    checkpoint_argument: ClassVar[str | None] = None
    machine_specific: ClassVar[
        tuple[str, ...]
    ] = ()  # arguments that mean something on this machine alone
    batch_tokens: int | None = None  # steps in a training batch of one process, where that is asked

    def __init__(self, batch_size: int = 64) -> None:
        super().__init__()
        if batch_size < 1:
            raise UserError(f"batch_size must be at least 1, got {batch_size}")
        self.save_hyperparameters(logger=False)
        self.batch_size = batch_size
        self._loader: ResumableLoader | None = None
        self._resume = 0

    @abstractmethod
    def split(self, name: str) -> SplitDataset:
        """Open a split, `train`, `valid` or `test`."""

    @property
    def label_names(self) -> list[str]:
        """The labels in the order of their ids; none where rows have no label."""
        return []

    @property
    def num_classes(self) -> int:
        """Number of labels."""
        return len(self.label_names)

    def plan(self, name: str) -> list[np.ndarray]:
        """The rows of each batch of this process in evaluation, in the order of the loader."""
        return self._make_sampler(name, shuffle=False).plan()

    def train_dataloader(self) -> DataLoader:
        """Batches of like lengths in an order drawn from the seed and the epoch."""
        self._loader = self._make_loader("train", shuffle=True)
        self._loader.buckets.start, self._resume = self._resume, 0
        return self._loader

    def val_dataloader(self) -> DataLoader:
        """Validation batches, each row once over all processes."""
        return self._make_loader("valid", shuffle=False)

    def test_dataloader(self) -> DataLoader:
        """Test batches, each row once over all processes."""
        return self._make_loader("test", shuffle=False)

    def _make_loader(self, name: str, shuffle: bool) -> ResumableLoader:
        return ResumableLoader(self.split(name), self._make_sampler(name, shuffle))

    def _make_sampler(self, name: str, shuffle: bool) -> BucketBatchSampler:
        return BucketBatchSampler(
            self.split(name).lengths,
            self.batch_size,
            batch_tokens=self.batch_tokens,
            shuffle=shuffle,
            seed=int(os.environ.get("PL_GLOBAL_SEED", "0")),  # what seed_everything was given
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
        )

    def state_dict(self) -> dict[str, Any]:
        """The position in the training epoch."""
        if self._loader is None:
            return {"num_batches_served": self._resume}
        epoch = len(self._loader)
        if self.trainer:  # limit_train_batches may end it earlier
            epoch = int(min(epoch, self.trainer.num_training_batches))
        return {"num_batches_served": self._loader.num_batches_served % epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the position that `state_dict` told."""
        self._resume = state_dict["num_batches_served"]

    def build_spec(self) -> dict[str, Any]:
        """Say how to build this module elsewhere and how it reads raw input, as plain values."""
        accepted = inspect.signature(type(self)).parameters.keys() - set(self.machine_specific)
        made: dict[str, Any] = {
            "class_path": public_path(type(self)),
            "init_args": {k: plain_options(v) for k, v in self.hparams.items() if k in accepted},
        }
        if self.label_names:
            made["labels"] = self.label_names
        return made
