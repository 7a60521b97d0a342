"""What a backtest promises: nothing of what is still to come is used at any origin."""

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
def seen(monkeypatch):
    """All forecasts that are measured, by the number of their window."""
    found = {}

    class Watched(ForecastErrors):
        def update(self, predictions, targets):
            for row, quantiles in zip(targets.rows.tolist(), predictions.quantiles, strict=True):
                found[row] = quantiles
            super().update(predictions, targets)

    monkeypatch.setattr(backtesting, "ForecastErrors", Watched)
    return found


@pytest.mark.parametrize("every", [1, 7, 1000])
def test_rolling_intervals_use_nothing_that_comes_after_their_origin(seen, every):
    first = series()
    list(backtest({"last": last_value(first)}, first, every))  # measures the rolling ones last
    before = dict(seen)
    second = series()
    second.scaler  # noqa: B018  learned from what both have
    changed = 270
    second.panel.values[changed:] *= 3
    list(backtest({"last": last_value(second)}, second, every))
    windows = first.split("test")
    _, origins = windows.origin(np.arange(len(windows)))
    assert seen.keys() == before.keys() == set(range(len(windows)))
    for row, origin in enumerate(origins.tolist()):
        if origin <= changed:
            assert torch.equal(seen[row], before[row])
    assert any(not torch.equal(seen[row], before[row]) for row in before)


def test_intervals_that_are_never_renewed_are_those_of_validation(seen):
    """All its windows are known at the first origin of the test but the last ones."""
    data = series(2000, split=[500, 700, 800])
    model = last_value(data)
    results = list(backtest({"last": model}, data, 10**6))
    assert [result.name for result in results] == ["last", "last, rolling intervals"]
    fixed, renewed = (result.errors.compute() for result in results)
    for name in ("mse", "mae", "smape", "mase"):
        torch.testing.assert_close(fixed[name], renewed[name])
    for name in ("crps", "width_80", "width_95", "coverage_80"):
        assert float(renewed[name]) == pytest.approx(float(fixed[name]), rel=0.03)


def test_only_points_of_the_first_model_get_rolling_intervals():
    data = series()
    models = {"first": last_value(data), "second": last_value(data)}
    names = [result.name for result in backtest(models, data, 24)]
    assert names == ["first", "first, rolling intervals", "second"]


@pytest.mark.parametrize(("season", "named"), [(1, False), (PAST, True), (PAST + 1, False)])
def test_a_seasonal_baseline_needs_a_season_that_is_seen(season, named):
    names = list(baselines(series(season_length=season)))
    assert (f"seasonal naive ({season})" in names) == named
    assert {"last value", "drift"} <= set(names)


def test_rows_of_a_table_are_over_the_whole_horizon_then_by_step():
    data = series()
    results = list(backtest({"last": last_value(data)}, data, 24))
    rows = list(to_rows(results))
    assert [row["step"] for row in rows] == ["all", "all", 1, 2, 3, 1, 2, 3]
    for whole, result in zip(rows, results, strict=False):
        assert whole["mse"] == float(result.errors.compute()["mse"])
    assert rows[3]["mae"] == float(results[0].errors.by_step()["mae"][1])


def uneven(folder):
    """Two series of which the second one begins, and ends, years before the first."""
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


@pytest.mark.parametrize("every", [4, 10, 5000])
def test_a_window_is_forecast_by_a_model_that_was_trained_before_it(tmp_path, every):
    """Also where series begin at different times; the first stretch by the model that there is."""
    data, asked = uneven(tmp_path), []
    first = last_value(data)

    def refit(stretch, split):
        asked.append((stretch, *map(pd.Timestamp, split)))
        return last_value(data)

    model = PeriodicallyRefitForecaster(first, data, every, refit)
    windows = data.split("test")
    rows = np.arange(len(windows))
    begin = min(windows.times(row)[0] for row in rows)
    for row in rows:
        asked.clear()
        model._models = {0: first}
        model.forecast(windows, rows[row : row + 1])
        time = windows.times(row)[0]
        stretch = (time - begin) // np.timedelta64(every, "D")
        if stretch == 0:
            assert not asked
        else:
            ((number, valid, test),) = asked
            assert number == stretch
            assert valid < test <= time


def test_stretches_that_come_again_are_not_trained_again_from_the_first(tmp_path):
    data, asked = uneven(tmp_path), []

    def refit(stretch, split):
        asked.append(stretch)
        return last_value(data)

    model = PeriodicallyRefitForecaster(last_value(data), data, 5000, refit)
    windows = data.split("test")
    for _ in range(2):
        model.forecast(windows, np.arange(len(windows)))
    assert asked == []


def test_forecasts_of_refitted_models_are_in_the_scale_of_the_batch():
    """A model that was scaled by other rows says the same in the user's units."""
    data, other = series(), series(split=[0.4, 0.3, 0.3])
    model = PeriodicallyRefitForecaster(
        last_value(data), data, 5, lambda stretch, split: last_value(other)
    )
    windows = data.split("test")
    rows = np.arange(len(windows))
    batch, found = model.forecast(windows, rows, LEVELS)
    _, expected = last_value(data).forecast(windows, rows)
    torch.testing.assert_close(found.point, expected.point, atol=1e-4, rtol=1e-4)
    assert batch.past.shape == (len(rows), PAST, 2)
    assert not np.allclose(data.scaler.location, other.scaler.location)


def test_many_errors_are_not_kept_for_rolling_intervals(monkeypatch):
    monkeypatch.setattr(backtesting, "MAX_SCORES", 10)
    data = series()
    names = [result.name for result in backtest({"last": last_value(data)}, data, 24)]
    assert names == ["last"]
