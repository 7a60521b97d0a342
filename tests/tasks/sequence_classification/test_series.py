import numpy as np
import pytest
import torch

from rnn_lab.datamodules import SyntheticChirps
from rnn_lab.errors import UserError
from rnn_lab.tasks.sequence_classification.batch import SequenceBatch
from rnn_lab.tasks.sequence_classification.series import SeriesSplit


def test_a_batch_is_its_rows_padded_one_by_one() -> None:
    rng = np.random.default_rng(0)
    series = [rng.normal(size=(time, 3)).astype(np.float32) for time in (4, 1, 6, 2)]
    split = SeriesSplit(series, [0, 1, 2, 1])
    rows = np.array([3, 0, 1])
    batch = split[rows]
    assert batch.values.shape == (3, 4, 3)
    for values, length, row in zip(batch.values, batch.lengths, rows, strict=True):
        np.testing.assert_array_equal(values[:length], series[row])
        assert (values[length:] == 0).all()
    assert batch.lengths.tolist() == [2, 4, 1]
    assert batch.labels.tolist() == [1, 0, 1]
    assert len(split) == 4


def test_gathering_leaves_the_series_as_they_are() -> None:
    split = SeriesSplit([np.ones((1, 1)), np.ones((3, 1))], [0, 0])
    first = split[np.array([0, 1])]
    assert torch.equal(split[np.array([0, 1])].values, first.values)
    assert (split.values == 1).all()


def test_generated_series_have_the_sizes_asked_for() -> None:
    data = SyntheticChirps(train_size=40, valid_size=8, test_size=9, input_dim=3, batch_size=16)
    assert {name: len(data.split(name)) for name in data.sizes} == data.sizes
    batch = next(iter(data.val_dataloader()))
    assert isinstance(batch, SequenceBatch)
    assert batch.values.shape == (8, int(batch.lengths.max()), 3)
    assert batch.values.dtype == torch.float32
    assert data.num_classes == 4
    assert data.build_spec()["input_dim"] == 3


def test_series_depend_on_the_seed_and_the_split_alone() -> None:
    def drawn(seed: int, name: str) -> list[float]:
        return SyntheticChirps(8, 8, 8, data_seed=seed).split(name).values.ravel().tolist()

    assert drawn(0, "train") == drawn(0, "train")
    assert drawn(0, "train") != drawn(0, "valid")
    assert drawn(0, "train") != drawn(1, "train")


def test_wrong_sizes_are_named() -> None:
    with pytest.raises(UserError, match="the valid size must be at least 1, got 0"):
        SyntheticChirps(valid_size=0)
    with pytest.raises(UserError, match="the input size must be at least 1, got 0"):
        SyntheticChirps(input_dim=0)
