"""Errors of forecasts against their definitions in numpy."""

import copy

import numpy as np
import pytest
import torch
from forecast_batches import CHANNELS, HORIZON, ROWS, batch_of, forecast_of, pick
from torchmetrics import MetricCollection

from rnn_lab.tasks.forecasting.calibration import (
    Calibration,
)
from rnn_lab.tasks.forecasting.metrics import (
    INTERVALS,
    Forecast,
    ForecastErrors,
    interval_levels,
)
from rnn_lab.tasks.forecasting.outputs import LEVELS

EVEN = [i for i, level in enumerate(LEVELS) if 0.05 <= level <= 0.95]


def scored(size=ROWS, quantiles=True, batch=None):
    batch = batch_of() if batch is None else batch
    metric, forecast = ForecastErrors(HORIZON, quantiles), forecast_of(batch)
    for first in range(0, len(batch.past), size):
        rows = slice(first, first + size)
        metric.update(pick(forecast, rows), pick(batch, rows))
    return metric


def numpy_errors(batch, forecast):
    """Compute each error of each value by its definition, NaN if it is excluded."""
    target, point, levels = (x.double().numpy() for x in (batch.future, *forecast[:2]))
    location, scale, naive = (
        x.double().numpy()[:, None] for x in (batch.location, batch.scale, batch.naive_mae)
    )
    result = {"mse": (target - point) ** 2, "mae": abs(target - point)}
    in_units, forecast_in_units = target * scale + location, point * scale + location
    result["smape"] = (
        200 * abs(in_units - forecast_in_units) / (abs(in_units) + abs(forecast_in_units))
    )
    result["mase"] = abs(target - point) / naive
    error, level = target[..., None] - levels[..., EVEN], np.array(LEVELS)[EVEN]
    result["crps"] = 2 * np.where(error > 0, level * error, (level - 1) * error).mean(-1)
    for name, (low, high) in {"80": (0.1, 0.9), "95": (0.025, 0.975)}.items():
        low, high = (levels[..., LEVELS.index(bound)] for bound in (low, high))
        inside = ((target >= low) & (target <= high)).astype(float)
        result[f"coverage_{name}"] = np.where(np.isnan(target), np.nan, inside)
        result[f"width_{name}"] = np.where(np.isnan(target), np.nan, high - low)
    return result


@pytest.mark.parametrize("size", [1, 7, ROWS])
def test_errors_equal_those_of_numpy_for_any_batch_size(size):
    metric = scored(size)
    expected = numpy_errors(batch_of(), forecast_of(batch_of()))
    assert set(metric.names) == expected.keys()
    means, steps = metric.compute(), metric.by_step()
    for name, values in expected.items():
        assert float(means[name]) == pytest.approx(np.nanmean(values), rel=1e-5)
        assert steps[name].tolist() == pytest.approx(np.nanmean(values, (0, 2)), rel=1e-5)


def test_point_forecasts_have_no_interval_metrics():
    alone, full = scored(quantiles=False).compute(), scored().compute()
    assert alone.keys() == {"mse", "mae", "smape", "mase"}
    assert alone == {name: full[name] for name in alone}


def test_the_overall_mean_is_the_mean_over_steps_weighted_by_observed_values():
    metric = scored()
    for row, name in enumerate(metric.names):
        counts = metric.counts[row]
        mean = (metric.by_step()[name] * counts).sum() / counts.sum()
        torch.testing.assert_close(metric.compute()[name], mean)


def test_a_step_without_observations_is_nan_and_does_not_affect_the_others():
    batch = batch_of()
    batch.future[:, 2] = torch.nan
    metric = scored(batch=batch)
    for values in metric.by_step().values():
        assert values.isnan().tolist() == [False, False, True, False, False]
    assert all(value.isfinite() for value in metric.compute().values())


def test_errors_without_batches_are_nan():
    assert all(value.isnan() for value in ForecastErrors(HORIZON, True).compute().values())


def test_smape_of_two_zeros_is_zero_and_of_opposite_numbers_200():
    batch = batch_of(1, missing=0)
    batch = batch._replace(location=0 * batch.location)
    batch.future[:] = 0
    metric = ForecastErrors(HORIZON)
    metric.update(Forecast(torch.zeros_like(batch.future)), batch)
    assert float(metric.compute()["smape"]) == 0
    batch.future[:] = 1
    metric.reset()
    metric.update(Forecast(-torch.ones_like(batch.future)), batch)
    assert float(metric.compute()["smape"]) == pytest.approx(200)


def test_mase_is_one_if_the_error_equals_that_of_the_seasonal_naive_forecast():
    batch = batch_of(missing=0)
    metric = ForecastErrors(HORIZON)
    metric.update(Forecast(batch.future + batch.naive_mae.unsqueeze(1)), batch)
    assert float(metric.compute()["mase"]) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("unknown", [0.0, torch.nan])
def test_a_channel_without_naive_error_is_excluded_from_mase_only(unknown):
    batch = batch_of()
    batch.naive_mae[:, 1] = unknown
    result, expected = scored(batch=batch), numpy_errors(batch_of(), forecast_of(batch))
    mase = np.nanmean(expected["mase"][..., [0, 2]])
    assert float(result.compute()["mase"]) == pytest.approx(mase, rel=1e-5)
    assert result.compute()["mae"] == scored().compute()["mae"]


def test_only_smape_depends_on_the_original_units():
    batch = batch_of()
    other = batch._replace(location=batch.location + 5, scale=7 * batch.scale)
    result, expected = scored(batch=other).compute(), scored().compute()
    for name in ("mse", "mae", "mase", "crps", "coverage_80", "width_95"):
        assert result[name] == expected[name]
    assert result["smape"] != expected["smape"]


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_forecast_that_is_not_finite_is_not_left_out_of_any_error(value):
    batch, forecast = batch_of(missing=0), forecast_of(batch_of(missing=0))
    forecast.point[0, 0, 0] = value
    forecast.quantiles[0, 0, 0] = value
    metric = ForecastErrors(HORIZON, True)
    metric.update(forecast, batch)
    for name, error in metric.compute().items():
        assert not error.isfinite(), name
        assert metric.by_step()[name].isfinite().tolist() == [False, True, True, True, True]


def test_a_forecast_of_a_missing_target_does_not_matter():
    batch, forecast = batch_of(), forecast_of(batch_of())
    forecast.point[batch.future.isnan()] = torch.nan
    forecast.quantiles[batch.future.isnan()] = torch.inf
    metric = ForecastErrors(HORIZON, True)
    metric.update(forecast, batch)
    assert metric.compute() == scored().compute()


def test_squares_do_not_overflow():
    batch = batch_of(1, missing=0)
    metric = ForecastErrors(HORIZON)
    metric.update(Forecast(torch.full_like(batch.future, 1e25)), batch)
    assert float(metric.compute()["mse"]) == pytest.approx(1e50, rel=1e-5)


def test_unbounded_intervals_have_an_infinite_width_and_no_coverage():
    batch, forecast = batch_of(), forecast_of(batch_of())
    forecast.quantiles[..., 0], forecast.quantiles[..., -1] = -torch.inf, torch.inf
    metric = ForecastErrors(HORIZON, True)
    metric.update(forecast, batch)
    result, expected = metric.compute(), scored().compute()
    assert result["width_95"].isinf()
    assert result["coverage_95"].isnan()
    assert all(result[name] == expected[name] for name in result if not name.endswith("95"))


def test_states_of_two_processes_add_up_to_those_of_one():
    batch, forecast = batch_of(), forecast_of(batch_of())
    for make in (lambda: ForecastErrors(HORIZON, True), lambda: Calibration(HORIZON, CHANNELS)):
        halves, full = (make(), make()), make()
        halves[0].update(pick(forecast, slice(11)), pick(batch, slice(11)))
        halves[1].update(pick(forecast, slice(11, None)), pick(batch, slice(11, None)))
        full.update(forecast, batch)
        for name, reduce in full._reductions.items():
            merged = reduce(torch.stack([getattr(half, name) for half in halves]))
            torch.testing.assert_close(merged, getattr(full, name))


def test_reset_clears_a_copy_but_not_the_original():
    metric = scored()
    copied = copy.deepcopy(metric)
    copied.reset()
    assert copied.compute()["mse"].isnan()
    assert metric.compute() == scored().compute()


def test_a_metric_collection_contains_each_error_as_a_scalar():
    collection = MetricCollection({"forecast": ForecastErrors(HORIZON, True)})
    collection.update(forecast_of(batch_of()), batch_of())
    assert collection.compute() == scored().compute()


def test_the_levels_of_the_evaluated_intervals_are_among_the_default_levels():
    for interval in INTERVALS:
        low, high = interval_levels(interval)
        assert {low, high} <= set(LEVELS)
        assert high - low == pytest.approx(interval)
