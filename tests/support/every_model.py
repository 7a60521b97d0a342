"""Every model of the library in a small size, with a batch of generated data."""

import inspect
from functools import lru_cache
from typing import Any

import pytest
import torch

from rnn_lab import datamodules, models
from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.core.task import Task

DATA = {  # generated data by its class: small splits
    "AddingProblem": {"length": 6},
    "CopyMemory": {"delay": 4, "copy_length": 2},
    "SyntheticChirps": {"batch_size": 8},
    "SyntheticDates": {"batch_size": 8},
    "SyntheticReviews": {"batch_size": 8},
    "SyntheticSeries": {"length": 400, "input_length": 48, "horizon": 24},
    "SyntheticText": {"batch_size": 4, "bptt": 6, "eval_batch_size": 4},
}
SPLITS = {"train_size": 32, "valid_size": 16, "test_size": 16}
SIZES = {"embedding_dim": 8, "hidden_dim": 8, "num_buckets": 40}

every_model = pytest.mark.parametrize("name", models.__all__)


def accepted(cls: type, options: dict[str, Any]) -> dict[str, Any]:
    """Select the options that a constructor accepts."""
    parameters = inspect.signature(cls).parameters
    return {name: value for name, value in options.items() if name in parameters}


@lru_cache
def data_of(batch_type: type) -> LabDataModule:
    """Return the generated data whose batches a model takes."""
    classes = {name: getattr(datamodules, name) for name in DATA}
    name = next(name for name, cls in classes.items() if cls.batch_type is batch_type)
    return classes[name](**accepted(classes[name], SPLITS) | DATA[name])


def build_model(name: str, **options: Any) -> Task:
    """Build a model by name with the sizes of its data."""
    cls = getattr(models, name)
    data = data_of(cls.batch_type)
    linked = {size: getattr(data, size) for size in data.linked}
    return cls(**accepted(cls, linked | SIZES | options))


@lru_cache
def batch_of(batch_type: type) -> Any:
    """Return the first training batch of the generated data."""
    torch.manual_seed(0)
    return next(iter(data_of(batch_type).train_dataloader()))
