"""Split conformal prediction: radius, coverage and shape of intervals."""

import numpy as np
import pytest
import torch
from forecast_batches import CHANNELS, HORIZON, PAST, ROWS, batch_of, forecast_of, pick

from rnn_lab.tasks.forecasting.calibration import (
    Calibration,
    conformal_scores,
    conformalize,
    exact_radius,
    histogram_radius,
    scores_needed,
    uncalibrated,
    window_std,
)
from rnn_lab.tasks.forecasting.metrics import (
    INTERVALS,
    Forecast,
    ForecastErrors,
    interval_levels,
)
from rnn_lab.tasks.forecasting.outputs import LEVELS


def scores_of(batch, point):
    return ((point - batch.future).abs() / window_std(batch.past)).double().numpy()


def calibrated(batch, point, size=100):
    metric = Calibration(HORIZON, CHANNELS)
    for first in range(0, len(batch.past), size):
        rows = slice(first, first + size)
        metric.update(Forecast(point[rows]), pick(batch, rows))
    return metric.compute()


@pytest.mark.parametrize("interval", [0.0, 0.1, 0.5, 0.8, 0.95])
def test_the_histogram_radius_is_the_conformal_quantile_within_one_percent(interval):
    batch = batch_of(2000)
    point = 0 * batch.future.nan_to_num(0)
    result = histogram_radius(calibrated(batch, point), [interval])[0]
    scores = scores_of(batch, point)
    for step in range(HORIZON):
        for channel in range(CHANNELS):
            values = scores[:, step, channel]
            values = np.sort(values[~np.isnan(values)])
            rank = int(np.ceil((len(values) + 1) * interval))
            exact = values[rank - 1] if rank else 0
            assert float(result[step, channel]) == pytest.approx(exact, rel=0.01, abs=1e-4)


def test_the_standard_deviation_of_a_window_ignores_missing_values():
    past = batch_of().past
    past[0, :3], past[1], past[2] = torch.nan, torch.nan, 4.0
    result = window_std(past)
    assert result.shape == (ROWS, 1, CHANNELS)
    torch.testing.assert_close(result[0, 0], past[0, 3:].std(0, correction=0))
    torch.testing.assert_close(result[3, 0], past[3].std(0, correction=0))
    assert (result[1] == 1).all()
    assert (result[2] == 1).all()


@pytest.mark.parametrize("interval", INTERVALS)
def test_intervals_have_their_nominal_coverage_on_exchangeable_windows(interval):
    """Calibrate on half of the windows, evaluate on the other half."""
    batch = batch_of(6000)
    batch = batch._replace(future=batch.future + 3 * batch.future**3)  # heavy tails
    point = torch.zeros_like(batch.future)
    first, second = slice(3000), slice(3000, None)
    histogram = calibrated(pick(batch, first), point[first])
    rest = pick(batch, second)
    wide = conformalize(Forecast(point[second]), rest.past, histogram, LEVELS)
    metric = ForecastErrors(HORIZON, True)
    metric.update(wide, rest)
    coverage = metric.compute()[f"coverage_{round(100 * interval)}"]
    assert float(coverage) == pytest.approx(interval, abs=0.01)


def test_intervals_are_symmetric_and_widen_with_their_coverage():
    batch = batch_of(400)
    point = forecast_of(batch).point
    wide = conformalize(Forecast(point), batch.past, calibrated(batch, point), LEVELS)
    torch.testing.assert_close(wide.point, point)
    torch.testing.assert_close(wide.quantile(0.5), point)
    for interval in INTERVALS:
        low, high = (wide.quantile(level) for level in interval_levels(interval))
        torch.testing.assert_close(high - point, point - low)
    assert (wide.quantiles.diff(dim=-1) >= 0).all()


def test_the_width_of_intervals_scales_with_the_window():
    batch = batch_of(100)
    histogram = calibrated(batch, torch.zeros_like(batch.future))
    first, second = (
        conformalize(Forecast(torch.zeros_like(batch.future)), past, histogram, (0.1, 0.5, 0.9))
        for past in (batch.past, 4 * batch.past + 9)
    )
    torch.testing.assert_close(second.quantiles, 4 * first.quantiles)


def test_intervals_with_too_few_scores_are_undefined():
    batch = batch_of(9, missing=0)
    point = torch.zeros_like(batch.future)
    result = histogram_radius(calibrated(batch, point), [0.0, 0.9, 0.95])
    assert result[:2].isfinite().all()  # the largest of nine scores bounds nine tenths
    assert result[2].isnan().all()
    nothing = Calibration(HORIZON, CHANNELS).compute()
    wide = conformalize(Forecast(point), batch.past, nothing, (0.1, 0.5, 0.9))
    assert torch.equal(wide.quantile(0.5), point)
    assert wide.quantile(0.9).isnan().all()
    assert wide.quantile(0.1).isnan().all()


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_the_number_of_scores_needed_is_the_least_that_calibrates(coverage):
    least = scores_needed(coverage)
    for rows, missing in ((least - 1, True), (least, False)):
        batch = batch_of(rows, missing=0)
        point = torch.zeros_like(batch.future)
        histogram = calibrated(batch, point)
        for radius in (
            histogram_radius(histogram, [0.0, coverage]),
            exact_radius(scores_of(batch, point), [0.0, coverage]),
        ):
            assert bool(radius[1].isnan().all()) == bool(radius[1].isnan().any()) == missing
            assert (radius[0] < 1e-3).all()
        messages = uncalibrated(histogram, [coverage])
        assert len(messages) == missing
        for message in messages:
            assert f"has {rows} values in validation and needs {least}" in message


def test_the_exact_radius_of_no_scores_is_undefined():
    radius = exact_radius(np.empty((0, 2, 3)), [0.0, 0.8])
    assert (radius[0] == 0).all()
    assert radius[1].isnan().all()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_forecast_that_is_not_finite_counts_as_an_infinite_score(value):
    """Otherwise the intervals of a diverging model look narrow."""
    batch = batch_of(20, missing=0)
    point = torch.zeros_like(batch.future)
    point[:2] = value
    histogram = calibrated(batch, point)
    exact = exact_radius(conformal_scores(point, batch).numpy(), [0.8, 0.95])
    for radius in (histogram_radius(histogram, [0.8, 0.95]), exact):
        assert radius[0].isfinite().all()
        assert radius[1].isnan().all()
    assert "not finite" in uncalibrated(histogram, [0.8, 0.95])[0]


def test_missing_values_have_no_score():
    batch = batch_of()
    histogram = calibrated(batch, torch.zeros_like(batch.future))
    assert torch.equal(histogram.sum(-1), (~batch.future.isnan()).sum(0))


def test_scores_of_any_magnitude_are_counted():
    batch = batch_of(missing=0)
    for error in (0.0, 1e-9, 1e9):
        point = batch.future + error
        assert int(calibrated(batch, point).sum()) == ROWS * HORIZON * CHANNELS


def test_many_channels_share_a_histogram_to_bound_memory():
    metric = Calibration(1000, 5)
    future = torch.randn(3, 1000, 5, generator=torch.Generator().manual_seed(0))
    batch = batch_of(3)._replace(past=torch.randn(3, PAST, 5), future=future)
    metric.update(Forecast(torch.zeros_like(future)), batch)
    histogram = metric.compute()
    assert histogram.shape[1] == 1
    assert (histogram.sum(-1) == 3 * 5).all()
    wide = conformalize(Forecast(torch.zeros_like(future)), batch.past, histogram, (0.1, 0.5, 0.9))
    assert wide.quantiles.shape == (3, 1000, 5, 3)
    assert wide.quantiles.isfinite().all()
