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


def kept(trainer):
    return json.loads((folder(trainer) / "scores.json").read_text(encoding="utf-8"))


@pytest.fixture
def undrawn(monkeypatch):
    """Nothing is drawn, which takes long."""
    monkeypatch.setattr(
        "rnn_lab.tasks.forecasting.reports.save_figure", lambda figure, trainer, name: None
    )


def test_fit_and_test_leave_scores_and_figures(make_trainer):
    trainer = make_trainer(max_epochs=1, callbacks=ForecastReport(panels=1))
    model, data = lstm(), series()
    trainer.fit(model, data)
    assert {path.name for path in folder(trainer).glob("*.png")} == {"forecasts.valid.png"}
    assert not (folder(trainer) / "scores.json").exists()
    trainer.test(model, data, verbose=False)
    made = {path.name for path in folder(trainer).glob("*.png")}
    assert made == FIGURES | {"forecasts.valid.png"}
    for name in ("mse", "mae", "smape", "mase"):
        logged = float(trainer.callback_metrics[f"test/{name}"])
        assert kept(trainer)["scores"][name] == pytest.approx(logged)


@pytest.mark.parametrize("output", ["point", "gaussian"])
def test_scores_are_means_over_the_steps_weighted_by_what_was_observed(
    output, make_trainer, undrawn
):
    trainer = make_trainer(callbacks=ForecastReport())
    data, model = series(), lstm(output=output)
    data.panel.values[-60:-40, 0] = np.nan  # missing in some test windows
    trainer.test(model, data, verbose=False)
    found = kept(trainer)
    errors = model.metrics["test"]["forecast"]
    assert found["scores"].keys() == found["by_step"].keys() == set(errors.names)
    for row, name in enumerate(errors.names):
        steps, counts = np.array(found["by_step"][name]), errors.counts[row].numpy()
        assert len(steps) == HORIZON
        assert found["scores"][name] == pytest.approx(np.average(steps, weights=counts))


def test_scores_are_those_of_the_forecasts_of_the_test_split(make_trainer, undrawn):
    trainer = make_trainer(callbacks=ForecastReport())
    data, model = series(), SeasonalNaiveForecaster(**SIZES, season_length=12)
    trainer.test(model, data, verbose=False)
    windows = data.split("test")
    batch = windows[np.arange(len(windows))]
    error = (batch.past[:, :HORIZON] - batch.future).double()
    assert kept(trainer)["scores"]["mse"] == pytest.approx(float(error.square().mean()))
    expected = error.abs().mean((0, 2)).tolist()
    assert kept(trainer)["by_step"]["mae"] == pytest.approx(expected)


def test_scores_of_no_number_are_null(make_trainer, monkeypatch, undrawn):
    monkeypatch.setattr(ForecastErrors, "update", lambda self, predictions, targets: None)
    trainer = make_trainer(callbacks=ForecastReport())
    data = series()
    trainer.test(LastValueForecaster(**SIZES), data, verbose=False)
    assert kept(trainer)["scores"]["mse"] is None
    assert kept(trainer)["by_step"]["mse"] == [None] * HORIZON


def test_residuals_are_counted_at_the_first_the_middle_and_the_last_step(
    make_trainer, monkeypatch, undrawn
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


def test_a_model_of_distributions_draws_its_intervals_too(make_trainer):
    trainer = make_trainer(max_epochs=1, limit_train_batches=1, callbacks=ForecastReport(panels=1))
    model = DeepARForecaster(CHANNELS, 4, 1, **SIZES)
    data = series()
    trainer.fit(model, data)
    trainer.test(model, data, verbose=False)
    assert {path.name for path in folder(trainer).glob("*.png")} >= FIGURES
    assert {"crps", "coverage_80", "width_95"} <= kept(trainer)["scores"].keys()


def test_levels_that_miss_an_interval_leave_out_its_band_and_its_scores(make_trainer, undrawn):
    trainer = make_trainer(callbacks=ForecastReport(panels=2))
    model = Forecaster(
        CHANNELS,
        4,
        **SIZES,
        output="quantiles",
        output_options=OutputOptions(quantiles=[0.1, 0.5, 0.9]),
    )
    trainer.test(model, series(), verbose=False)
    found = kept(trainer)["scores"]
    assert found["coverage_80"] is not None
    assert found["coverage_95"] is None


def test_drawing_leaves_a_model_training_as_it_was(make_trainer, undrawn):
    trainer = make_trainer(max_epochs=1, limit_train_batches=1, callbacks=ForecastReport())
    model = lstm()
    trainer.fit(model, series())
    assert model.training


def test_fewer_windows_than_panels_are_drawn_once_each(make_trainer, monkeypatch):
    shown = []
    monkeypatch.setattr(
        "rnn_lab.tasks.forecasting.reports.save_figure",
        lambda figure, trainer, name: shown.append((name, len(figure.axes))),
    )
    trainer = make_trainer(callbacks=ForecastReport(panels=50))
    data = series(split=[384, 10, 6])
    trainer.test(LastValueForecaster(**SIZES), data, verbose=False)
    assert len(data.split("test")) == 3
    assert dict(shown)["forecasts.png"] == 4  # the last of two rows has one that is not seen


def test_a_fit_without_validation_looks_for_no_validation_split(make_trainer):
    trainer = make_trainer(
        max_epochs=1, limit_train_batches=1, limit_val_batches=0, callbacks=ForecastReport()
    )
    trainer.fit(lstm(), series())
    assert not list(folder(trainer).glob("*.png"))


def test_a_dry_run_leaves_no_forecasts(make_trainer):
    trainer = make_trainer(fast_dev_run=True, callbacks=ForecastReport())
    trainer.fit(lstm(), series())
    trainer.test(lstm(), series(), verbose=False)
    assert not folder(trainer).exists()


def test_a_task_that_does_not_forecast_is_passed_over(task, data, make_trainer):
    trainer = make_trainer(max_epochs=1, callbacks=ForecastReport())
    trainer.fit(task(), data())
    trainer.test(task(), data(), verbose=False)
    assert not list(folder(trainer).glob("*.png"))


def test_a_test_without_a_data_module_is_passed_over(make_trainer):
    trainer = make_trainer(callbacks=ForecastReport())
    trainer.test(lstm(), series().test_dataloader(), verbose=False)
    assert not list(folder(trainer).glob("*.png"))


def test_validation_calibrates_what_a_checkpoint_keeps(make_trainer, tmp_path):
    """The histogram counts every value of the validation split once, also after two epochs."""
    trainer = make_trainer(max_epochs=2, limit_train_batches=1)
    model, data = lstm(), series()
    trainer.fit(model, data)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    counts = torch.load(tmp_path / "a.ckpt", weights_only=True)["rnn_lab"]["calibration"]
    assert (counts.sum(-1) == len(data.split("valid"))).all()
    assert torch.equal(counts, model.calibration)


def test_no_panels_are_refused():
    with pytest.raises(UserError, match="panels must be at least 1, got 0"):
        ForecastReport(panels=0)


def test_two_processes_count_every_window_once(make_trainer, undrawn):
    trainers = [
        make_trainer("one", callbacks=ForecastReport(panels=1)),
        make_trainer("two", callbacks=ForecastReport(panels=1), strategy="ddp_fork", devices=2,
                     use_distributed_sampler=False),
    ]  # fmt: skip
    for trainer in trainers:
        trainer.test(lstm(output="gaussian"), series(), verbose=False)
    one, two = (kept(trainer) for trainer in trainers)
    assert two["scores"] == pytest.approx(one["scores"], rel=1e-5)
    for name, steps in one["by_step"].items():
        assert two["by_step"][name] == pytest.approx(steps, rel=1e-5)
