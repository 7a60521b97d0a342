"""Laws of generated data: rows depend on seed, split and epoch, and on nothing else."""

from inspect import signature
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rnn_lab import datamodules
from rnn_lab.core.generated import check_generation_args
from rnn_lab.datamodules import AddingProblem, CopyMemory
from rnn_lab.errors import UserError
from rnn_lab.tasks.regression.batch import RegressionBatch
from rnn_lab.tasks.tagging.batch import TaggingBatch

SMALL = {"train_size": 43, "valid_size": 17, "test_size": 10}


def adding(length: int = 12, **options: Any) -> AddingProblem:
    return AddingProblem(length, **{**SMALL, **options})


def copying(delay: int = 7, **options: Any) -> CopyMemory:
    return CopyMemory(delay, **{**SMALL, "num_symbols": 5, "copy_length": 9, **options})


def all_rows(data: Any, name: str = "train") -> Any:
    """All rows of a split, as one batch."""
    return data.split(name)[np.arange(SMALL[f"{name}_size"])]


def training_inputs(data: Any, epoch: int = 0) -> list[Tensor]:
    """The inputs of each batch of a training epoch."""
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return [batch[0] for batch in loader]


def sort_rows(batches: list[Tensor]) -> list[bytes]:
    """Rows in an order that depends only on their content."""
    return sorted(row.numpy().tobytes() for row in torch.cat(batches))


def sizes_of_generated_data() -> list[tuple[str, str]]:
    """Every data module that generates rows, with the name of each size of a split."""
    names = {"train_size", "valid_size", "test_size", "length", "delay", "copy_length"}
    return [
        (cls, size)
        for cls in datamodules.__all__
        if "data_seed" in (own := signature(getattr(datamodules, cls)).parameters)
        for size in own
        if size in names
    ]


@pytest.mark.parametrize(("cls", "size"), sizes_of_generated_data())
@pytest.mark.parametrize(("value", "message"), [(0, "at least"), (10**12, "at most")])
def test_a_size_that_is_too_small_or_takes_too_much_memory_is_refused(
    cls: str, size: str, value: int, message: str
) -> None:
    with pytest.raises(UserError, match=f"(?s){size}.*must be {message}|train_size must be at"):
        getattr(datamodules, cls)(**{size: value}).split("train")


@pytest.mark.parametrize("build", [adding, copying])
def test_training_rows_are_regenerated_each_epoch_and_depend_on_the_seed(build: Any) -> None:
    first = sort_rows(training_inputs(build()))
    second = sort_rows(training_inputs(build(), 1))
    assert sort_rows(training_inputs(build())) == first
    assert sort_rows(training_inputs(build(), 1)) == second
    assert not set(first) & set(second)
    assert not set(first) & set(sort_rows(training_inputs(build(data_seed=1))))


@pytest.mark.parametrize("build", [adding, copying])
def test_an_earlier_epoch_can_be_generated_again(build: Any) -> None:
    data = build()
    first, second = sort_rows(training_inputs(data)), sort_rows(training_inputs(data, 1))
    assert sort_rows(training_inputs(data)) == first
    assert sort_rows(training_inputs(data, 1)) == second


@pytest.mark.parametrize("build", [adding, copying])
def test_rows_depend_on_neither_batch_size_nor_number_of_processes(build: Any) -> None:
    inputs = []
    for rank in range(3):
        data = build(batch_size=2)
        data.trainer = SimpleNamespace(global_rank=rank, world_size=3)
        inputs += training_inputs(data, 4)
    assert sort_rows(inputs) == sort_rows(training_inputs(build(batch_size=16), 4))


@pytest.mark.parametrize("build", [adding, copying])
def test_validation_and_test_are_fixed_and_share_no_row_with_training(build: Any) -> None:
    def read(loader: Any) -> list[bytes]:
        return sort_rows([batch[0] for batch in loader])

    data = build(batch_size=4)
    valid, test = read(data.val_dataloader()), read(data.test_dataloader())
    assert (len(valid), len(test)) == (17, 10)
    train = sort_rows(training_inputs(data, 1))
    assert (read(data.val_dataloader()), read(data.test_dataloader())) == (valid, test)
    assert len({*valid, *test, *train}) == 17 + 10 + 43


@pytest.mark.parametrize("build", [adding, copying])
@pytest.mark.parametrize("served", [0, 1, 6, 10])
def test_a_resumed_epoch_has_exactly_the_remaining_batches(build: Any, served: int) -> None:
    interrupted = build(batch_size=4)
    expected = training_inputs(interrupted, 2)
    loader = interrupted.train_dataloader()
    loader.sampler.set_epoch(2)
    batches = iter(loader)
    for _ in range(served):
        next(batches)
    resumed = build(batch_size=4)
    resumed.load_state_dict(interrupted.state_dict())
    torch.testing.assert_close(training_inputs(resumed, 2), expected[served:])


@pytest.mark.parametrize(
    ("build", "batch_type"), [(adding, RegressionBatch), (copying, TaggingBatch)]
)
def test_the_build_specification_gives_the_same_rows(build: Any, batch_type: type) -> None:
    data = build(data_seed=3)
    rebuilt = type(data)(**data.build_spec()["init_args"])
    batch, other = all_rows(data), all_rows(rebuilt)
    assert isinstance(batch, batch_type)
    assert torch.equal(batch[0], other[0])
    assert torch.equal(batch[1], other[1])


@pytest.mark.parametrize("build", [adding, copying])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"valid_size": 0}, "valid_size must be at least 1, got 0"),
        ({"data_seed": -1}, "data_seed must be at least 0, got -1"),
    ],
)
def test_invalid_options_are_refused(build: Any, options: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**options)


def test_an_unknown_split_and_a_negative_count_are_refused() -> None:
    with pytest.raises(UserError, match="split must be one of train, valid, test, got 'dev'"):
        check_generation_args(1, "dev")
    with pytest.raises(UserError, match="count must be at least 0, got -1"):
        check_generation_args(-1, "test")
