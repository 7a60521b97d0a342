from math import log
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rnn_lab.datamodules import AddingProblem, CopyMemory
from rnn_lab.errors import UserError
from rnn_lab.tasks.regression.batch import RegressionBatch
from rnn_lab.tasks.tagging.batch import TaggingBatch

SMALL = {"train_size": 43, "valid_size": 17, "test_size": 10}


def adding(length: int = 12, **arguments: Any) -> AddingProblem:
    return AddingProblem(length, **{**SMALL, **arguments})


def copying(delay: int = 7, **arguments: Any) -> CopyMemory:
    return CopyMemory(delay, **{**SMALL, "symbols": 5, "copied": 9, **arguments})


def rows_of(data: Any, name: str = "train") -> Any:
    return data.split(name)[np.arange(SMALL[f"{name}_size"])]


def trained_on(data: Any, epoch: int = 0) -> list[Tensor]:
    """What each batch of an epoch reads."""
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return [batch[0] for batch in loader]


def as_set(batches: list[Tensor]) -> list[bytes]:
    """Rows in an order that hangs on nothing but themselves."""
    return sorted(row.numpy().tobytes() for row in torch.cat(batches))


def test_numbers_and_marks_are_uniform() -> None:
    values, _, _ = AddingProblem(10, train_size=20_000).split("train")[np.arange(20_000)]
    numbers, marks = values.unbind(2)
    assert 0 <= numbers.min() < 0.001
    assert 0.999 < numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 0.002
    torch.testing.assert_close(marks.mean(0), torch.full((10,), 0.2), atol=0.02, rtol=0)


def test_who_always_says_one_has_the_error_of_the_paper() -> None:
    data = AddingProblem(10, train_size=20_000)
    targets = data.split("train")[np.arange(20_000)].targets
    assert data.baseline == pytest.approx(0.167, abs=0.001)
    assert float((targets - 1).square().mean()) == pytest.approx(data.baseline, rel=0.03)


def test_ids_and_labels_are_below_the_sizes_told() -> None:
    data = CopyMemory(delay=3, train_size=500)
    tokens, labels, _ = data.split("train")[np.arange(500)]
    assert (int(tokens.max()) + 1, int(labels.max()) + 1) == (data.vocab_size, data.num_classes)
    assert tokens.min() > 0  # padding is left free
    assert data.label_names == ["blank", "1", "2", "3", "4", "5", "6", "7", "8"]


def test_who_remembers_nothing_has_the_loss_of_the_paper() -> None:
    data = CopyMemory(100)
    assert data.baseline == pytest.approx(10 * log(8) / 120)
    labels = torch.as_tensor(rows_of(CopyMemory(100, **SMALL)).labels)
    guess = torch.full((*labels.shape, 9), -torch.inf)
    guess[:, :110, 0] = 0
    guess[:, 110:, 1:] = 0
    loss = torch.nn.functional.cross_entropy(guess.flatten(0, 1), labels.flatten())
    assert float(loss) == pytest.approx(data.baseline)


@pytest.mark.parametrize("make", [adding, copying])
def test_training_rows_are_new_in_each_epoch_and_the_same_for_a_seed(make: Any) -> None:
    first, second = as_set(trained_on(make())), as_set(trained_on(make(), 1))
    assert as_set(trained_on(make())) == first
    assert as_set(trained_on(make(), 1)) == second
    assert not set(first) & set(second)
    assert not set(first) & set(as_set(trained_on(make(data_seed=1))))


@pytest.mark.parametrize("make", [adding, copying])
def test_an_epoch_can_be_gone_back_to(make: Any) -> None:
    data = make()
    first, second = as_set(trained_on(data)), as_set(trained_on(data, 1))
    assert (as_set(trained_on(data)), as_set(trained_on(data, 1))) == (first, second)


@pytest.mark.parametrize("make", [adding, copying])
def test_rows_hang_on_neither_batch_size_nor_processes(make: Any) -> None:
    shared = []
    for rank in range(3):
        data = make(batch_size=2)
        data.trainer = SimpleNamespace(global_rank=rank, world_size=3)
        shared += trained_on(data, 4)
    assert as_set(shared) == as_set(trained_on(make(batch_size=16), 4))


@pytest.mark.parametrize("make", [adding, copying])
def test_validation_and_test_never_change_and_share_no_row_with_training(make: Any) -> None:
    def read(loader: Any) -> list[bytes]:
        return as_set([batch[0] for batch in loader])

    data = make(batch_size=4)
    valid, test = read(data.val_dataloader()), read(data.test_dataloader())
    assert (len(valid), len(test)) == (17, 10)
    trained = as_set(trained_on(data, 1))
    assert (read(data.val_dataloader()), read(data.test_dataloader())) == (valid, test)
    assert len({*valid, *test, *trained}) == 17 + 10 + 43


@pytest.mark.parametrize("make", [adding, copying])
@pytest.mark.parametrize("read", [0, 1, 6, 10])
def test_a_resumed_epoch_gives_the_rest_exactly(make: Any, read: int) -> None:
    first = make(batch_size=4)
    whole = trained_on(first, 2)
    loader = first.train_dataloader()
    loader.sampler.set_epoch(2)
    batches = iter(loader)
    for _ in range(read):
        next(batches)
    second = make(batch_size=4)
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(trained_on(second, 2), whole[read:])


@pytest.mark.parametrize(("make", "gives"), [(adding, RegressionBatch), (copying, TaggingBatch)])
def test_a_recipe_rebuilds_the_module(make: Any, gives: type) -> None:
    data = make(data_seed=3)
    again = type(data)(**data.build_spec()["init_args"])
    batch, other = rows_of(data), rows_of(again)
    assert isinstance(batch, gives)
    assert torch.equal(batch[0], other[0])
    assert torch.equal(batch[1], other[1])


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (adding, {"length": 1}, "length must be at least 2, got 1"),
        (adding, {"valid_size": 0}, "the valid size must be at least 1, got 0"),
        (adding, {"data_seed": -1}, "data_seed must be at least 0, got -1"),
        (copying, {"delay": 0}, "delay must be at least 1, got 0"),
        (copying, {"symbols": 1}, "symbols must be at least 2, got 1"),
        (copying, {"copied": 0}, "copied must be at least 1, got 0"),
    ],
)
def test_sizes_without_meaning_are_refused(make: Any, arguments: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(**arguments)
