"""Scores and plots after a fit and a test."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rnn_lab.datamodules import SyntheticSeries
from rnn_lab.errors import UserError
from rnn_lab.models import (
    DeepARForecaster,
    Forecaster,
    LastValueForecaster,
    SeasonalNaiveForecaster,
)
from rnn_lab.tasks.forecasting.metrics import ForecastErrors
from rnn_lab.tasks.forecasting.options import OutputOptions
from rnn_lab.tasks.forecasting.reports import EDGES, ForecastReport

HORIZON, CHANNELS = 4, 2


SIZES = {"output_dim": HORIZON * CHANNELS, "horizon": HORIZON}


FIGURES = {"forecasts.png", "errors_by_step.png", "residuals.png"}


def series(**options):
    sizes = {"input_length": 12, "horizon": HORIZON, "batch_size": 64}
    return SyntheticSeries(400, CHANNELS, **{**sizes, **options})


def lstm(**options):
    torch.manual_seed(0)
    return Forecaster(CHANNELS, 4, **SIZES, **options)


def folder(trainer):
    return Path(trainer.default_root_dir)


def read_scores(trainer):
    return json.loads((folder(trainer) / "scores.json").read_text(encoding="utf-8"))


@pytest.fixture
def no_plots(monkeypatch):
    """Skip saving figures, which is slow."""
    monkeypatch.setattr(
        "rnn_lab.tasks.forecasting.reports.save_figure", lambda figure, trainer, name: None
    )


def test_fit_and_test_write_scores_and_plots(make_trainer):
    trainer = make_trainer(max_epochs=1, callbacks=ForecastReport(panels=1))
    model, data = lstm(), series()
    trainer.fit(model, data)
    assert {path.name for path in folder(trainer).glob("*.png")} == {"forecasts.valid.png"}
    assert not (folder(trainer) / "scores.json").exists()
    trainer.test(model, data, verbose=False)
    plots = {path.name for path in folder(trainer).glob("*.png")}
    assert plots == FIGURES | {"forecasts.valid.png"}
    for name in ("mse", "mae", "smape", "mase"):
        logged = float(trainer.callback_metrics[f"test/{name}"])
        assert read_scores(trainer)["scores"][name] == pytest.approx(logged)


@pytest.mark.parametrize("output", ["point", "gaussian"])
def test_scores_are_means_over_steps_weighted_by_observed_values(output, make_trainer, no_plots):
    trainer = make_trainer(callbacks=ForecastReport())
    data, model = series(), lstm(output=output)
    data.panel.values[-60:-40, 0] = np.nan  # missing in some test windows
    trainer.test(model, data, verbose=False)
    result = read_scores(trainer)
    errors = model.metrics["test"]["forecast"]
    assert result["scores"].keys() == result["by_step"].keys() == set(errors.names)
    for row, name in enumerate(errors.names):
        steps, counts = np.array(result["by_step"][name]), errors.counts[row].numpy()
        assert len(steps) == HORIZON
        assert result["scores"][name] == pytest.approx(np.average(steps, weights=counts))


def test_scores_are_those_of_the_forecasts_of_the_test_split(make_trainer, no_plots):
    trainer = make_trainer(callbacks=ForecastReport())
    data, model = series(), SeasonalNaiveForecaster(**SIZES, season_length=12)
    trainer.test(model, data, verbose=False)
    windows = data.split("test")
    batch = windows[np.arange(len(windows))]
    error = (batch.past[:, :HORIZON] - batch.future).double()
    assert read_scores(trainer)["scores"]["mse"] == pytest.approx(float(error.square().mean()))
    expected = error.abs().mean((0, 2)).tolist()
    assert read_scores(trainer)["by_step"]["mae"] == pytest.approx(expected)


def test_undefined_scores_are_null(make_trainer, monkeypatch, no_plots):
    monkeypatch.setattr(ForecastErrors, "update", lambda self, predictions, targets: None)
    trainer = make_trainer(callbacks=ForecastReport())
    data = series()
    trainer.test(LastValueForecaster(**SIZES), data, verbose=False)
    assert read_scores(trainer)["scores"]["mse"] is None
    assert read_scores(trainer)["by_step"]["mse"] == [None] * HORIZON


def test_residuals_are_counted_at_the_first_the_middle_and_the_last_step(
    make_trainer, monkeypatch, no_plots
):
    shown = {}

    def watch(counts, edges):
        shown.update(counts)
        return real(counts, edges)

    from rnn_lab.tasks.forecasting import plots as forecast_plots

    real = forecast_plots.plot_residuals
    monkeypatch.setattr(forecast_plots, "plot_residuals", watch)
    trainer = make_trainer(callbacks=ForecastReport())
    data = series()
    trainer.test(LastValueForecaster(**SIZES), data, verbose=False)
    windows = data.split("test")
    batch = windows[np.arange(len(windows))]
    left = (batch.future - batch.past[:, -1:]).numpy()
    assert list(shown) == ["step 1", "step 2", "step 4"]
    for step, counts in zip((0, 1, 3), shown.values(), strict=True):
        values = left[:, step].clip(EDGES[0], EDGES[-1])
        expected, _ = np.histogram(values, EDGES)
        assert counts.sum() == values.size
        assert abs(counts - expected).sum() <= 4  # rounding on an edge


def test_a_probabilistic_model_is_plotted_with_its_intervals(make_trainer):
    trainer = make_trainer(max_epochs=1, limit_train_batches=1, callbacks=ForecastReport(panels=1))
    model = DeepARForecaster(CHANNELS, 4, 1, **SIZES)
    data = series()
    trainer.fit(model, data)
    trainer.test(model, data, verbose=False)
    assert {path.name for path in folder(trainer).glob("*.png")} >= FIGURES
    assert {"crps", "coverage_80", "width_95"} <= read_scores(trainer)["scores"].keys()


def test_an_interval_beyond_the_quantile_levels_has_no_band_and_no_scores(make_trainer, no_plots):
    trainer = make_trainer(callbacks=ForecastReport(panels=2))
    model = Forecaster(
        CHANNELS,
        4,
        **SIZES,
        output="quantiles",
        output_options=OutputOptions(quantiles=[0.1, 0.5, 0.9]),
    )
    trainer.test(model, series(), verbose=False)
    result = read_scores(trainer)["scores"]
    assert result["coverage_80"] is not None
    assert result["coverage_95"] is None


def test_plotting_does_not_change_the_training_mode(make_trainer, no_plots):
    trainer = make_trainer(max_epochs=1, limit_train_batches=1, callbacks=ForecastReport())
    model = lstm()
    trainer.fit(model, series())
    assert model.training


def test_fewer_windows_than_panels_are_plotted_once_each(make_trainer, monkeypatch):
    shown = []
    monkeypatch.setattr(
        "rnn_lab.tasks.forecasting.reports.save_figure",
        lambda figure, trainer, name: shown.append((name, len(figure.axes))),
    )
    trainer = make_trainer(callbacks=ForecastReport(panels=50))
    data = series(split=[384, 10, 6])
    trainer.test(LastValueForecaster(**SIZES), data, verbose=False)
    assert len(data.split("test")) == 3
    assert dict(shown)["forecasts.png"] == 4  # two rows of panels, the last of which is hidden


def test_a_fit_without_validation_plots_nothing(make_trainer):
    trainer = make_trainer(
        max_epochs=1, limit_train_batches=1, limit_val_batches=0, callbacks=ForecastReport()
    )
    trainer.fit(lstm(), series())
    assert not list(folder(trainer).glob("*.png"))


def test_a_dry_run_writes_nothing(make_trainer):
    trainer = make_trainer(fast_dev_run=True, callbacks=ForecastReport())
    trainer.fit(lstm(), series())
    trainer.test(lstm(), series(), verbose=False)
    assert not folder(trainer).exists()


def test_a_task_other_than_forecasting_is_ignored(task, data, make_trainer):
    trainer = make_trainer(max_epochs=1, callbacks=ForecastReport())
    trainer.fit(task(), data())
    trainer.test(task(), data(), verbose=False)
    assert not list(folder(trainer).glob("*.png"))


def test_a_test_without_a_data_module_is_ignored(make_trainer):
    trainer = make_trainer(callbacks=ForecastReport())
    trainer.test(lstm(), series().test_dataloader(), verbose=False)
    assert not list(folder(trainer).glob("*.png"))


def test_zero_panels_are_refused():
    with pytest.raises(UserError, match="panels must be at least 1, got 0"):
        ForecastReport(panels=0)


def test_two_processes_count_every_window_once(make_trainer, no_plots):
    trainers = [
        make_trainer("one", callbacks=ForecastReport(panels=1)),
        make_trainer("two", callbacks=ForecastReport(panels=1), strategy="ddp_fork", devices=2,
                     use_distributed_sampler=False),
    ]  # fmt: skip
    for trainer in trainers:
        trainer.test(lstm(output="gaussian"), series(), verbose=False)
    one, two = (read_scores(trainer) for trainer in trainers)
    assert two["scores"] == pytest.approx(one["scores"], rel=1e-5)
    for name, steps in one["by_step"].items():
        assert two["by_step"][name] == pytest.approx(steps, rel=1e-5)


def test_forecasts_are_logged_to_wandb_as_a_table(make_trainer, no_plots, logged_tables):
    logger, tables = logged_tables
    make_trainer(callbacks=ForecastReport(panels=2), logger=logger).test(
        LastValueForecaster(**SIZES), series(), verbose=False
    )
    ((key, columns, rows),) = tables
    assert key == "test/forecasts"
    assert columns == ["series", "time", "step", "forecast", "actual"]
    assert [row[2] for row in rows] == [1, 2, 3, 4] * 2
    assert len({row[3] for row in rows[:HORIZON]}) == 1  # the last value is repeated


def test_numbers_of_windows_are_written_with_their_intervals(make_trainer, no_plots):
    trainer = make_trainer(callbacks=ForecastReport(panels=8))
    trainer.test(lstm(output="gaussian"), series(), verbose=False)
    saved = json.loads((folder(trainer) / "forecasts.json").read_text(encoding="utf-8"))
    assert len(saved["windows"]) == 6
    for window in saved["windows"]:
        assert len(window["past"]) == len(window["past_times"]) == 2 * HORIZON
        assert len(window["times"]) == len(window["forecast"]) == HORIZON
        low, high = np.array(window["intervals"]["0.95"])
        inner_low, inner_high = np.array(window["intervals"]["0.8"])
        assert (low < inner_low).all()
        assert (inner_low < inner_high).all()
        assert (inner_high < high).all()
