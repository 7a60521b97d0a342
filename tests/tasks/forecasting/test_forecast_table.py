"""Forecasts and errors that a backtest keeps, in the units of the file."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from series_tables import long

from rnn_lab.models import LastValueForecaster
from rnn_lab.tasks.forecasting.backtest import backtest
from rnn_lab.tasks.forecasting.forecast_table import ForecastTable, SeriesErrors
from rnn_lab.tasks.forecasting.metrics import INTERVALS, Forecast, interval_levels
from rnn_lab.tasks.forecasting.predictor import ForecastPredictor


@pytest.fixture
def evaluated(data_of, tmp_path):
    """Backtest the last value on two series; return both tables and the file."""
    frame = long(a=90, b=140)
    frame.loc[85, "y"] = np.nan
    data = data_of(frame, batch_size=8)
    task = LastValueForecaster(data.output_dim, horizon=data.horizon).eval()
    model, windows = ForecastPredictor(task, data.reader), data.split("test")
    errors = SeriesErrors(windows)
    with ForecastTable(tmp_path / "it.parquet", windows) as table:

        def record(*forecast):
            errors.add(*forecast)
            table.add(*forecast)

        results = list(backtest({"last": model}, data, 5, record))
    file = pd.read_parquet(tmp_path / "it.parquet")
    assert table.rows == len(file)
    return file, list(errors.rows()), frame, results, data, errors.by_target()


def test_every_forecast_is_kept_by_series_origin_and_step(evaluated):
    table, _, frame, results, data, _ = evaluated
    rows = len(data.split("test")) * data.horizon
    assert table.groupby("model", observed=True).size().to_dict() == {
        result.name: rows for result in results
    }
    assert not table.duplicated(["model", "series", "target", "origin", "step"]).any()
    values = frame.assign(ds=pd.to_datetime(frame["ds"])).set_index(["unique_id", "ds"])["y"]
    for row in table.sample(60, random_state=0).itertuples():
        assert row.time == row.origin + pd.Timedelta(days=row.step)
        observed = values[(row.series, row.time)]
        assert row.observed == pytest.approx(observed, rel=1e-5, nan_ok=True)
        assert row.forecast == pytest.approx(values[(row.series, row.origin)], rel=1e-5) or (
            np.isnan(values[(row.series, row.origin)])
        )
        assert not row.lower_80 > row.upper_80


def test_errors_by_series_are_those_of_the_table(evaluated):
    table, rows, *_ = evaluated
    assert len(rows) == 4  # two series of the model and of its rolling intervals
    for row in rows:
        chosen = (table["model"] == row["model"]) & (table["series"] == row["series"])
        part = table[chosen & table["observed"].notna()]
        error = part["forecast"] - part["observed"]
        inside = (part["observed"] >= part["lower_80"]) & (part["observed"] <= part["upper_80"])
        assert (row["target"], row["values"]) == ("y", len(part))
        assert row["mae"] == pytest.approx(error.abs().mean(), rel=1e-4)
        assert row["rmse"] == pytest.approx((error**2).mean() ** 0.5, rel=1e-4)
        if part["lower_80"].notna().all():
            assert row["coverage_80"] == pytest.approx(inside.mean(), abs=0.02)


def test_errors_by_target_are_those_of_the_table(evaluated):
    table, by_target = evaluated[0], evaluated[-1]
    assert list(by_target) == ["last", "last, rolling intervals"]
    for model, errors in by_target.items():
        part = table[(table["model"] == model) & table["observed"].notna()]
        error = part["forecast"] - part["observed"]
        assert list(errors) == ["y"]
        assert errors["y"]["mae"] == pytest.approx(error.abs().mean(), rel=1e-4)
        assert errors["y"]["rmse"] == pytest.approx((error**2).mean() ** 0.5, rel=1e-4)


@pytest.fixture
def forecast_of(data_of):
    """A function that returns the windows of a series and the forecast of one batch."""
    data = data_of(long(a=90))
    task = LastValueForecaster(data.output_dim, horizon=data.horizon).eval()
    windows = data.split("test")
    levels = tuple(sorted({level for c in INTERVALS for level in interval_levels(c)}))
    batch, forecast = ForecastPredictor(task, data.reader).forecast(windows, np.arange(4))
    quantiles = forecast.point.unsqueeze(-1).expand(*forecast.point.shape, len(levels))
    return windows, batch, Forecast(forecast.point, quantiles, levels)


def test_each_batch_is_a_row_group(forecast_of, tmp_path):
    windows, batch, forecast = forecast_of
    with ForecastTable(tmp_path / "it.parquet", windows) as table:
        for model in "abc":
            table.add(model, batch, forecast)
    file = pq.ParquetFile(tmp_path / "it.parquet")
    assert file.num_row_groups == 3
    assert file.metadata.num_rows == table.rows == 3 * forecast.point.numel()


def test_an_interrupted_table_leaves_no_file(forecast_of, tmp_path):
    windows, batch, forecast = forecast_of

    def interrupted():
        with ForecastTable(tmp_path / "it.parquet", windows) as table:
            table.add("a", batch, forecast)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.glob("*parquet*"))


def test_without_a_path_no_file_is_written(forecast_of, tmp_path):
    windows, batch, forecast = forecast_of
    with ForecastTable(None, windows) as table:
        table.add("a", batch, forecast)
    assert table.rows == 0
