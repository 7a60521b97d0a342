"""A backtest uses no information from after the forecast origin."""

import numpy as np
import pandas as pd
import pytest
import torch

from rnn_lab.datamodules import ForecastingFiles, SyntheticSeries
from rnn_lab.models import LastValueForecaster
from rnn_lab.tasks.forecasting import backtest as backtesting
from rnn_lab.tasks.forecasting.backtest import (
    PeriodicallyRefitForecaster,
    backtest,
    baselines,
    to_rows,
)
from rnn_lab.tasks.forecasting.metrics import ForecastErrors
from rnn_lab.tasks.forecasting.outputs import LEVELS
from rnn_lab.tasks.forecasting.predictor import ForecastPredictor

PAST, HORIZON = 6, 3


def series(rows=300, **options):
    return SyntheticSeries(rows, 2, input_length=PAST, horizon=HORIZON, **options)


def last_value(data):
    task = LastValueForecaster(data.output_dim, horizon=data.horizon).eval()
    return ForecastPredictor(task, data.reader)


@pytest.fixture
def evaluated_quantiles(monkeypatch):
    """Quantiles of all evaluated forecasts by window."""
    evaluated = {}

    class RecordingErrors(ForecastErrors):
        def update(self, predictions, targets):
            for row, quantiles in zip(targets.rows.tolist(), predictions.quantiles, strict=True):
                evaluated[row] = quantiles
            super().update(predictions, targets)

    monkeypatch.setattr(backtesting, "ForecastErrors", RecordingErrors)
    return evaluated


def uneven(folder):
    """Build two series, the second of which starts and ends years before the first."""
    parts = [
        pd.DataFrame(
            {
                "unique_id": name,
                "ds": pd.date_range(begin, periods=rows),
                "y": np.random.default_rng(rows).normal(size=rows),
            }
        )
        for name, begin, rows in (("late", "2020-01-01", 100), ("early", "2015-01-01", 120))
    ]
    pd.concat(parts).to_csv(folder / "two.csv", index=False)
    return ForecastingFiles(str(folder / "two.csv"), PAST, HORIZON)


@pytest.mark.parametrize("every", [1, 7, 1000])
def test_rolling_intervals_use_no_values_after_their_origin(evaluated_quantiles, every):
    first = series()
    list(backtest({"last": last_value(first)}, first, every))  # measures the rolling ones last
    before = dict(evaluated_quantiles)
    second = series()
    second.scaler  # noqa: B018  computed before the values change
    changed = 270
    second.panel.values[changed:] *= 3
    list(backtest({"last": last_value(second)}, second, every))
    windows = first.split("test")
    _, origins = windows.origin(np.arange(len(windows)))
    assert evaluated_quantiles.keys() == before.keys() == set(range(len(windows)))
    for row, origin in enumerate(origins.tolist()):
        if origin <= changed:
            assert torch.equal(evaluated_quantiles[row], before[row])
    assert any(not torch.equal(evaluated_quantiles[row], before[row]) for row in before)


def test_intervals_that_are_never_recalibrated_equal_those_of_validation(evaluated_quantiles):
    """At the first origin of the test, all but the last validation windows are complete."""
    data = series(2000, split=[500, 700, 800])
    model = last_value(data)
    results = list(backtest({"last": model}, data, 10**6))
    assert [result.name for result in results] == ["last", "last, rolling intervals"]
    fixed, renewed = (result.errors.compute() for result in results)
    for name in ("mse", "mae", "smape", "mase"):
        torch.testing.assert_close(fixed[name], renewed[name])
    for name in ("crps", "width_80", "width_95", "coverage_80"):
        assert float(renewed[name]) == pytest.approx(float(fixed[name]), rel=0.03)


def test_only_point_forecasts_of_the_first_model_get_rolling_intervals():
    data = series()
    models = {"first": last_value(data), "second": last_value(data)}
    names = [result.name for result in backtest(models, data, 24)]
    assert names == ["first", "first, rolling intervals", "second"]


@pytest.mark.parametrize(("season", "named"), [(1, False), (PAST, True), (PAST + 1, False)])
def test_the_seasonal_baseline_needs_a_window_of_at_least_one_season(season, named):
    names = list(baselines(series(season_length=season)))
    assert (f"seasonal naive ({season})" in names) == named
    assert {"last value", "drift"} <= set(names)


def test_table_rows_cover_the_whole_horizon_first_and_then_each_step():
    data = series()
    results = list(backtest({"last": last_value(data)}, data, 24))
    rows = list(to_rows(results))
    assert [row["step"] for row in rows] == ["all", "all", 1, 2, 3, 1, 2, 3]
    for row, result in zip(rows, results, strict=False):
        assert row["mse"] == float(result.errors.compute()["mse"])
    assert rows[3]["mae"] == float(results[0].errors.by_step()["mae"][1])


@pytest.mark.parametrize("every", [4, 10, 5000])
def test_each_window_is_forecast_by_a_model_trained_before_it(tmp_path, every):
    """Series may start at different times; the first period uses the first model."""
    data, refits = uneven(tmp_path), []
    first = last_value(data)

    def refit(period, split):
        refits.append((period, *map(pd.Timestamp, split)))
        return last_value(data)

    model = PeriodicallyRefitForecaster(first, data, every, refit)
    windows = data.split("test")
    rows = np.arange(len(windows))
    begin = min(windows.times(row)[0] for row in rows)
    for row in rows:
        refits.clear()
        model._models = {0: first}
        model.forecast(windows, rows[row : row + 1])
        time = windows.times(row)[0]
        period = (time - begin) // np.timedelta64(every, "D")
        if period == 0:
            assert not refits
        else:
            ((number, valid, test),) = refits
            assert number == period
            assert valid < test <= time


def test_the_first_model_is_not_refit(tmp_path):
    data, refits = uneven(tmp_path), []

    def refit(period, split):
        refits.append(period)
        return last_value(data)

    model = PeriodicallyRefitForecaster(last_value(data), data, 5000, refit)
    windows = data.split("test")
    for _ in range(2):
        model.forecast(windows, np.arange(len(windows)))
    assert refits == []


def test_forecasts_of_refitted_models_are_in_the_scale_of_the_batch():
    """A model with other scaling statistics gives the same forecast in the original units."""
    data, other = series(), series(split=[0.4, 0.3, 0.3])
    model = PeriodicallyRefitForecaster(
        last_value(data), data, 5, lambda period, split: last_value(other)
    )
    windows = data.split("test")
    rows = np.arange(len(windows))
    batch, evaluated = model.forecast(windows, rows, LEVELS)
    _, expected = last_value(data).forecast(windows, rows)
    torch.testing.assert_close(evaluated.point, expected.point, atol=1e-4, rtol=1e-4)
    assert batch.past.shape == (len(rows), PAST, 2)
    assert not np.allclose(data.scaler.location, other.scaler.location)


def test_rolling_intervals_are_skipped_if_scores_would_exceed_the_memory_limit(monkeypatch):
    monkeypatch.setattr(backtesting, "MAX_SCORES", 10)
    data = series()
    names = [result.name for result in backtest({"last": last_value(data)}, data, 24)]
    assert names == ["last"]
