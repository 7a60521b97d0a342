import copy

import numpy as np
import pytest
import torch
from torchmetrics import MetricCollection

from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.calibration import (
    Calibration,
    conformalize,
    histogram_radius,
    window_std,
)
from rnn_lab.tasks.forecasting.metrics import (
    INTERVALS,
    Forecast,
    ForecastErrors,
    interval_levels,
)
from rnn_lab.tasks.forecasting.outputs import LEVELS

ROWS, PAST, HORIZON, CHANNELS = 30, 8, 5, 3
EVEN = [i for i, level in enumerate(LEVELS) if 0.05 <= level <= 0.95]


def batch_of(rows=ROWS, seed=0, holes=0.2):
    """Windows, some of what came missing."""
    chance = torch.Generator().manual_seed(seed)

    def drawn(*shape):
        return torch.randn(*shape, generator=chance)

    past, future = drawn(rows, PAST, CHANNELS), drawn(rows, HORIZON, CHANNELS)
    future[torch.rand(future.shape, generator=chance) < holes] = torch.nan
    location, scale = 10 * drawn(rows, CHANNELS), drawn(rows, CHANNELS).exp()
    naive = drawn(rows, CHANNELS).exp()
    return WindowBatch(
        past,
        future,
        *past.new_zeros(2, rows, 0, 0),
        past.new_zeros(rows, 0),
        past.new_zeros(rows, 0).long(),
        location,
        scale,
        naive,
        torch.arange(rows),
    )


def forecast_of(batch, seed=5):
    chance = torch.Generator().manual_seed(seed)
    point = 0.5 * torch.randn(batch.future.shape, generator=chance)
    width = torch.rand(batch.future.shape, generator=chance)
    quantiles = point.unsqueeze(-1) + width.unsqueeze(-1) * torch.special.ndtri(
        torch.tensor(LEVELS)
    )
    return Forecast(point, quantiles, LEVELS)


def pick(value, rows):
    """Some rows of a forecast or of a batch."""
    parts = (part[rows] if isinstance(part, torch.Tensor) else part for part in value)
    return type(value)(*parts)


def scored(size=ROWS, quantiles=True, batch=None):
    batch = batch_of() if batch is None else batch
    metric, forecast = ForecastErrors(HORIZON, quantiles), forecast_of(batch)
    for first in range(0, len(batch.past), size):
        rows = slice(first, first + size)
        metric.update(pick(forecast, rows), pick(batch, rows))
    return metric


def numpys(batch, forecast):
    """Each error of each value, NaN where it does not count, as the definitions have it."""
    came, point, levels = (x.double().numpy() for x in (batch.future, *forecast[:2]))
    location, scale, naive = (
        x.double().numpy()[:, None] for x in (batch.location, batch.scale, batch.naive_mae)
    )
    found = {"mse": (came - point) ** 2, "mae": abs(came - point)}
    in_units, told = came * scale + location, point * scale + location
    found["smape"] = 200 * abs(in_units - told) / (abs(in_units) + abs(told))
    found["mase"] = abs(came - point) / naive
    error, level = came[..., None] - levels[..., EVEN], np.array(LEVELS)[EVEN]
    found["crps"] = 2 * np.where(error > 0, level * error, (level - 1) * error).mean(-1)
    for name, (low, high) in {"80": (0.1, 0.9), "95": (0.025, 0.975)}.items():
        low, high = (levels[..., LEVELS.index(bound)] for bound in (low, high))
        inside = ((came >= low) & (came <= high)).astype(float)
        found[f"coverage_{name}"] = np.where(np.isnan(came), np.nan, inside)
        found[f"width_{name}"] = np.where(np.isnan(came), np.nan, high - low)
    return found


@pytest.mark.parametrize("size", [1, 7, ROWS])
def test_errors_are_those_of_numpy_however_the_windows_are_cut(size):
    metric = scored(size)
    expected = numpys(batch_of(), forecast_of(batch_of()))
    assert set(metric.names) == expected.keys()
    means, steps = metric.compute(), metric.by_step()
    for name, values in expected.items():
        assert float(means[name]) == pytest.approx(np.nanmean(values), rel=1e-5)
        assert steps[name].tolist() == pytest.approx(np.nanmean(values, (0, 2)), rel=1e-5)


def test_points_alone_have_no_interval_to_measure():
    alone, whole = scored(quantiles=False).compute(), scored().compute()
    assert alone.keys() == {"mse", "mae", "smape", "mase"}
    assert alone == {name: whole[name] for name in alone}


def test_the_mean_over_all_is_the_mean_over_steps_weighted_by_what_was_observed():
    metric = scored()
    for row, name in enumerate(metric.names):
        counts = metric.counts[row]
        mean = (metric.by_step()[name] * counts).sum() / counts.sum()
        torch.testing.assert_close(metric.compute()[name], mean)


def test_a_step_that_was_never_observed_is_nan_and_the_others_count():
    batch = batch_of()
    batch.future[:, 2] = torch.nan
    metric = scored(batch=batch)
    for values in metric.by_step().values():
        assert values.isnan().tolist() == [False, False, True, False, False]
    assert all(value.isfinite() for value in metric.compute().values())


def test_errors_of_nothing_are_nan():
    assert all(value.isnan() for value in ForecastErrors(HORIZON, True).compute().values())


def test_smape_of_two_noughts_is_nought_and_of_opposites_200():
    batch = batch_of(1, holes=0)
    batch = batch._replace(location=0 * batch.location)
    batch.future[:] = 0
    metric = ForecastErrors(HORIZON)
    metric.update(Forecast(torch.zeros_like(batch.future)), batch)
    assert float(metric.compute()["smape"]) == 0
    batch.future[:] = 1
    metric.reset()
    metric.update(Forecast(-torch.ones_like(batch.future)), batch)
    assert float(metric.compute()["smape"]) == pytest.approx(200)


def test_mase_is_one_where_the_model_errs_as_the_season_does():
    batch = batch_of(holes=0)
    metric = ForecastErrors(HORIZON)
    metric.update(Forecast(batch.future + batch.naive_mae.unsqueeze(1)), batch)
    assert float(metric.compute()["mase"]) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("unknown", [0.0, torch.nan])
def test_a_channel_without_a_season_to_compare_with_does_not_count_in_mase_alone(unknown):
    batch = batch_of()
    batch.naive_mae[:, 1] = unknown
    found, expected = scored(batch=batch), numpys(batch_of(), forecast_of(batch))
    mase = np.nanmean(expected["mase"][..., [0, 2]])
    assert float(found.compute()["mase"]) == pytest.approx(mase, rel=1e-5)
    assert found.compute()["mae"] == scored().compute()["mae"]


def test_mse_and_mae_are_in_the_scale_of_the_batch():
    batch = batch_of()
    other = batch._replace(location=batch.location + 5, scale=7 * batch.scale)
    found, expected = scored(batch=other).compute(), scored().compute()
    for name in ("mse", "mae", "mase", "crps", "coverage_80", "width_95"):
        assert found[name] == expected[name]
    assert found["smape"] != expected["smape"]


def test_intervals_without_an_end_are_not_measured():
    batch, forecast = batch_of(), forecast_of(batch_of())
    forecast.quantiles[..., 0], forecast.quantiles[..., -1] = -torch.inf, torch.inf
    metric = ForecastErrors(HORIZON, True)
    metric.update(forecast, batch)
    found, expected = metric.compute(), scored().compute()
    assert found["width_95"].isnan()
    assert found["coverage_95"].isnan()
    assert all(found[name] == expected[name] for name in found if not name.endswith("95"))


def test_counts_of_two_processes_add_up_to_those_of_one():
    batch, forecast = batch_of(), forecast_of(batch_of())
    for make in (lambda: ForecastErrors(HORIZON, True), lambda: Calibration(HORIZON, CHANNELS)):
        halves, whole = (make(), make()), make()
        halves[0].update(pick(forecast, slice(11)), pick(batch, slice(11)))
        halves[1].update(pick(forecast, slice(11, None)), pick(batch, slice(11, None)))
        whole.update(forecast, batch)
        for name, reduce in whole._reductions.items():
            merged = reduce(torch.stack([getattr(half, name) for half in halves]))
            torch.testing.assert_close(merged, getattr(whole, name))


def test_a_reset_metric_starts_anew_and_a_copy_counts_on_its_own():
    metric = scored()
    copied = copy.deepcopy(metric)
    copied.reset()
    assert copied.compute()["mse"].isnan()
    assert metric.compute() == scored().compute()


def test_in_a_collection_every_error_is_a_scalar_of_its_own_name():
    collection = MetricCollection({"forecast": ForecastErrors(HORIZON, True)})
    collection.update(forecast_of(batch_of()), batch_of())
    assert collection.compute() == scored().compute()


def test_the_ends_of_an_interval_are_levels_that_are_measured():
    for interval in INTERVALS:
        low, high = interval_levels(interval)
        assert {low, high} <= set(LEVELS)
        assert high - low == pytest.approx(interval)


def scores_of(batch, point):
    return ((point - batch.future).abs() / window_std(batch.past)).double().numpy()


def calibrated(batch, point, size=100):
    metric = Calibration(HORIZON, CHANNELS)
    for first in range(0, len(batch.past), size):
        rows = slice(first, first + size)
        metric.update(Forecast(point[rows]), pick(batch, rows))
    return metric.compute()


@pytest.mark.parametrize("interval", [0.0, 0.1, 0.5, 0.8, 0.95])
def test_the_radius_is_the_conformal_quantile_of_the_scores_within_a_percent(interval):
    batch = batch_of(2000)
    point = 0 * batch.future.nan_to_num(0)
    found = histogram_radius(calibrated(batch, point), [interval])[0]
    scores = scores_of(batch, point)
    for step in range(HORIZON):
        for channel in range(CHANNELS):
            values = scores[:, step, channel]
            values = np.sort(values[~np.isnan(values)])
            rank = int(np.ceil((len(values) + 1) * interval))
            exact = values[rank - 1] if rank else 0
            assert float(found[step, channel]) == pytest.approx(exact, rel=0.01, abs=1e-4)


def test_the_deviation_of_a_window_is_that_of_what_was_seen():
    past = batch_of().past
    past[0, :3], past[1], past[2] = torch.nan, torch.nan, 4.0
    found = window_std(past)
    assert found.shape == (ROWS, 1, CHANNELS)
    torch.testing.assert_close(found[0, 0], past[0, 3:].std(0, correction=0))
    torch.testing.assert_close(found[3, 0], past[3].std(0, correction=0))
    assert (found[1] == 1).all()
    assert (found[2] > 0).all()


@pytest.mark.parametrize("interval", INTERVALS)
def test_intervals_cover_what_they_say_on_windows_like_those_they_were_made_from(interval):
    """Half of like windows makes intervals, the other half falls into them."""
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


def test_intervals_lie_evenly_around_the_forecast_and_widen_with_their_level():
    batch = batch_of(400)
    point = forecast_of(batch).point
    wide = conformalize(Forecast(point), batch.past, calibrated(batch, point), LEVELS)
    torch.testing.assert_close(wide.point, point)
    torch.testing.assert_close(wide.quantile(0.5), point)
    for interval in INTERVALS:
        low, high = (wide.quantile(level) for level in interval_levels(interval))
        torch.testing.assert_close(high - point, point - low)
    assert (wide.quantiles.diff(dim=-1) >= 0).all()


def test_intervals_are_as_wide_as_their_window_strays():
    batch = batch_of(100)
    histogram = calibrated(batch, torch.zeros_like(batch.future))
    first, second = (
        conformalize(Forecast(torch.zeros_like(batch.future)), past, histogram, (0.1, 0.5, 0.9))
        for past in (batch.past, 4 * batch.past + 9)
    )
    torch.testing.assert_close(second.quantiles, 4 * first.quantiles)


def test_too_few_scores_make_intervals_without_an_end():
    batch = batch_of(9, holes=0)
    point = torch.zeros_like(batch.future)
    found = histogram_radius(calibrated(batch, point), [0.0, 0.9, 0.95])
    assert found[:2].isfinite().all()  # the largest of nine scores bounds nine tenths
    assert found[2].isinf().all()
    nothing = Calibration(HORIZON, CHANNELS).compute()
    wide = conformalize(Forecast(point), batch.past, nothing, (0.1, 0.5, 0.9))
    assert torch.equal(wide.quantile(0.5), point)
    assert (wide.quantile(0.9) == torch.inf).all()
    assert (wide.quantile(0.1) == -torch.inf).all()


def test_what_was_not_observed_has_no_score():
    batch = batch_of()
    histogram = calibrated(batch, torch.zeros_like(batch.future))
    assert torch.equal(histogram.sum(-1), (~batch.future.isnan()).sum(0))


def test_scores_of_any_size_are_counted():
    batch = batch_of(holes=0)
    for error in (0.0, 1e-9, 1e9):
        point = batch.future + error
        assert int(calibrated(batch, point).sum()) == ROWS * HORIZON * CHANNELS


def test_many_channels_are_calibrated_together_so_that_memory_is_bounded():
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
