"""Splits, batches and resuming of forecasting data."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from series_tables import SPLITS, long, wide

from rnn_lab.datamodules import (
    ForecastingFiles,
    SyntheticSeries,
)
from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.data import ForecastDataModule


@pytest.mark.slow
def test_importing_the_data_modules_does_not_import_pandas() -> None:
    code = "import sys, rnn_lab.datamodules; assert not {'pandas', 'pyarrow'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_splits_are_consecutive_and_sizes_are_reported(data_of: Any) -> None:
    data = data_of(wide(100), calendar=["hour"])
    assert [len(data.split(name)) for name in SPLITS] == [70 - 9, 10 - 3, 20 - 3]
    origins = [data.split(name).origin(np.array([0]))[1][0] for name in SPLITS]
    assert origins == [6, 70, 80]
    assert (data.channels, data.input_dim, data.output_dim) == (2, 3, 8)
    assert data.covariates == {"future_dim": 1, "static_dim": 0, "category_sizes": []}
    assert data.season_length == 24
    batch = data.split("valid")[np.array([0])]
    assert isinstance(batch, WindowBatch)
    assert [part.shape[1:] for part in batch[:4]] == [(6, 2), (4, 2), (6, 1), (4, 1)]


def test_invalid_sizes_are_refused() -> None:
    with pytest.raises(UserError, match="horizon must be at least 1, got 0"):
        SyntheticSeries(horizon=0)
    with pytest.raises(UserError, match="season_length must be at least 1, got 0"):
        SyntheticSeries(season_length=0)
    with pytest.raises(UserError, match="scaling must be standard or none, got 'robust'"):
        SyntheticSeries(scaling="robust")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="length must be at least 1, got 0"):
        SyntheticSeries(0).split("train")
    with pytest.raises(UserError, match="ForecastingFiles requires a file"):
        ForecastingFiles()


def test_a_split_that_is_shorter_than_a_window_is_refused(data_of: Any) -> None:
    data = data_of(wide(30), split=[9, 3, 18])
    with pytest.raises(
        UserError, match=r"the train split of ForecastingFiles has 9 rows, .* needs 10 rows"
    ):
        data.split("train")
    with pytest.raises(
        UserError, match=r"the valid split of ForecastingFiles has 3 rows, .* horizon=4"
    ):
        data.split("valid")
    assert len(data.split("test")) == 15
    with pytest.raises(UserError, match="has no split 'other', only train, valid, test"):
        data.split("other")


def test_series_that_are_too_short_are_excluded_from_training_and_logged(
    data_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    data = data_of(long(x=40, tiny=9, y=30), split=[0.6, 0.2, 0.2])
    with caplog.at_level("INFO"):
        windows = data.split("train")
    assert np.bincount(windows.origin(np.arange(len(windows)))[0]).tolist() == [24 - 9, 0, 18 - 9]
    assert "1 series are too short to train on, first 'tiny'" in caplog.text


def test_training_resumes_in_the_middle_of_an_epoch() -> None:
    def batches(data: ForecastDataModule) -> Any:
        loader = data.train_dataloader()
        loader.sampler.set_epoch(3)  # type: ignore[attr-defined]
        return (batch.rows.tolist() for batch in loader)

    data = SyntheticSeries(length=400)
    expected = list(batches(data))
    first = batches(data)
    assert [next(first) for _ in range(3)] == expected[:3]
    other = SyntheticSeries(length=400)
    other.load_state_dict(data.state_dict())
    assert list(batches(other)) == expected[3:]


def test_evaluation_reads_every_window_once_in_order() -> None:
    data = SyntheticSeries()
    rows = torch.cat([batch.rows for batch in data.test_dataloader()])
    assert rows.tolist() == list(range(len(data.split("test"))))
    assert np.concatenate(data.plan("test")).tolist() == rows.tolist()
    assert data.eval_batch_size == 256
    assert SyntheticSeries(batch_size=512).eval_batch_size == 512
