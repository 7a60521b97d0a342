"""Benchmark datasets: sources, sizes and published errors of naive forecasts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from series_tables import SPLITS

from rnn_lab.datamodules import (
    ETTh1,
    ETTh2,
    ETTm1,
    ETTm2,
    ExchangeRate,
)
from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting.datasets import BenchmarkSeries
from rnn_lab.tasks.forecasting.windows import Windows

KNOWN = (ETTh1, ETTh2, ETTm1, ETTm2, ExchangeRate)


def errors(windows: Windows, period: int) -> tuple[float, float]:
    """Return MSE and MAE of the seasonal naive forecast over all windows."""
    batch = windows[np.arange(len(windows))]
    times = -(-batch.future.shape[1] // period)
    forecast = batch.past[:, -period:].repeat(1, times, 1)[:, : batch.future.shape[1]]
    error = (forecast - batch.future).double()
    return float(error.square().mean()), float(error.abs().mean())


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.__name__)
def test_every_dataset_states_its_source_and_license(known: type[BenchmarkSeries]) -> None:
    words = known.__doc__ or ""
    assert "Source: " in words
    assert "license" in words
    assert known.file.urls


def test_an_incomplete_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ett").mkdir()
    columns = pd.DataFrame(1.0, index=range(5), columns=ETTh2.columns)
    columns.insert(0, "date", pd.date_range("2024-01-01", periods=5, freq="h"))
    columns.to_csv(tmp_path / "ett/ETTh2.csv", index=False)
    with pytest.raises(UserError, match=r"ETTh2 must have 17420 rows, but .*ETTh2\.csv has 5"):
        ETTh2(root=str(tmp_path)).split("train")


@pytest.mark.data
@pytest.mark.parametrize("horizon", [96, 192, 336, 720])
@pytest.mark.parametrize("input_length", [96, 336])
def test_etth1_has_the_windows_of_the_published_protocol(
    data_root: Path, input_length: int, horizon: int
) -> None:
    data = ETTh1(input_length, horizon, root=str(data_root))
    sizes = [len(data.split(name)) for name in SPLITS]
    assert sizes == [8640 - input_length - horizon + 1, 2881 - horizon, 2881 - horizon]


@pytest.mark.data
def test_naive_forecasts_of_etth1_have_their_published_errors(data_root: Path) -> None:
    data = ETTh1(root=str(data_root))
    assert (data.season_length, data.channels) == (24, 7)
    test = data.split("test")
    assert errors(test, 1) == pytest.approx((1.294, 0.713), abs=5e-4)
    assert errors(test, 24) == pytest.approx((0.512, 0.433), abs=5e-4)


@pytest.mark.data
def test_naive_forecasts_of_ettm1_and_exchange_rates_have_their_published_errors(
    data_root: Path,
) -> None:
    data = ETTm1(root=str(data_root))
    assert (data.season_length, len(data.split("test"))) == (96, 11_425)
    assert errors(data.split("test"), 1) == pytest.approx((1.214, 0.665), abs=5e-4)
    rates = ExchangeRate(root=str(data_root))
    assert [len(rates.split(name)) for name in SPLITS] == [5120, 665, 1422]
    assert errors(rates.split("test"), 1) == pytest.approx((0.081, 0.196), abs=5e-4)


@pytest.mark.data
def test_a_single_channel_of_etth1_has_its_published_errors(data_root: Path) -> None:
    data = ETTh1(targets=["OT"], root=str(data_root))
    assert errors(data.split("test"), 1) == pytest.approx((0.069, 0.203), abs=5e-4)
