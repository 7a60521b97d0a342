"""Forecasts of data frames."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from forecast_runs import (
    HORIZON,
    PAST,
    PROBABILISTIC,
    ROWS,
    SIZES,
    SMALL,
    SYNTHETIC,
    frame,
    sales,
    synthetic,
    train_model,
    without_last_sales,
)

import rnn_lab
from rnn_lab.__main__ import main
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.loading import load_task
from rnn_lab.datamodules import ForecastingFiles
from rnn_lab.errors import UserError

BOUNDS = [f"{side}_{level}" for level in (80, 95) for side in ("lower", "upper")]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("points")
    return train_model(folder, *SMALL, *SYNTHETIC, "--test=true")


@pytest.fixture(scope="module")
def probabilistic(tmp_path_factory):
    return train_model(tmp_path_factory.mktemp("distributions"), *PROBABILISTIC, *SYNTHETIC)


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """Checkpoint of two series in a long table with a future covariate."""
    folder = tmp_path_factory.mktemp("long")
    sales(60).to_csv(folder / "sales.csv", index=False)
    known = [
        "--data.columns.future_covariates=[promotion]",
        "--data.columns.static_covariates=[unique_id,size]",
    ]
    options = [f"--data.file={folder}/sales.csv", "--data.calendar=[weekday]", *known, *SIZES]
    return train_model(folder, *SMALL, "--data=ForecastingFiles", *options)


def test_a_forecast_has_a_row_per_step_after_the_last_row(checkpoint):
    result = rnn_lab.load(checkpoint).predict(frame())
    bounds = [f"{name}_{bound}" for name in ("y1", "y2") for bound in BOUNDS]
    assert set(result.columns) == {"date", "y1", "y2", *bounds}
    begin = frame()["date"].iloc[-1]
    ahead = pd.date_range(begin, periods=HORIZON + 1, freq="h")[1:]
    assert result["date"].tolist() == ahead.tolist()


def test_forecasts_are_in_the_units_of_the_series(checkpoint):
    table = frame()
    predictor = rnn_lab.load(checkpoint)
    result = predictor.predict(table)
    for name in ("y1", "y2"):
        values = table[name].iloc[-PAST:]
        reach = 3 * (values.max() - values.min())
        assert ((result[name] - values.mean()).abs() < reach).all()


@pytest.mark.parametrize("which", ["checkpoint", "probabilistic"])
def test_intervals_contain_the_forecast_and_widen_with_their_coverage(which, request):
    result = rnn_lab.load(request.getfixturevalue(which)).predict(frame())
    for name in ("y1", "y2"):
        order = [f"{name}_lower_95", f"{name}_lower_80", f"{name}_upper_80", f"{name}_upper_95"]
        assert (np.diff(result[order].to_numpy(), axis=1) >= 0).all()
        assert (result[f"{name}_lower_95"] < result[name]).all()
        assert (result[name] < result[f"{name}_upper_95"]).all()


@pytest.mark.parametrize("which", ["checkpoint", "probabilistic"])
def test_a_forecast_equals_that_of_the_test_window(which, request):
    path = request.getfixturevalue(which)
    predictor, windows = rnn_lab.load(path), synthetic().split("test")
    task = load_task(Checkpoint.open(path)).eval()
    for row in (0, 17, len(windows) - 1):
        origin = int(windows.origin(np.array([row]))[1][0])
        batch = windows[np.array([row])]
        point = task.step(batch).predictions.point[0].detach()
        expected = (point * batch.scale + batch.location).numpy()
        result = predictor.predict(frame(origin))
        np.testing.assert_allclose(result[["y1", "y2"]], expected, rtol=1e-4, atol=1e-4)
        assert result["date"].tolist() == pd.to_datetime(windows.times(row)).tolist()


def test_only_the_last_input_window_affects_the_forecast(checkpoint):
    predictor = rnn_lab.load(checkpoint)
    pd.testing.assert_frame_equal(predictor.predict(frame()[-PAST:]), predictor.predict(frame()))
    shuffled = frame()[["y2", "date", "y1"]]
    pd.testing.assert_frame_equal(predictor.predict(shuffled), predictor.predict(frame()))


def test_requested_intervals_are_returned(checkpoint, probabilistic):
    for path in (checkpoint, probabilistic):
        predictor = rnn_lab.load(path)
        result = predictor.predict(frame(), [0.5, 0.8])
        expected = predictor.predict(frame())
        assert {"y1_lower_50", "y1_upper_50", "y1_lower_80"} <= set(result.columns)
        assert "y1_lower_95" not in result.columns
        np.testing.assert_allclose(result["y1_upper_80"], expected["y1_upper_80"])
        assert (result["y1_upper_50"] <= result["y1_upper_80"]).all()
        assert list(predictor.predict(frame(), []).columns) == ["date", "y1", "y2"]


@pytest.mark.parametrize("interval", [0, 1, -0.5, 80])
def test_invalid_intervals_are_refused(checkpoint, interval):
    with pytest.raises(UserError, match=f"intervals must be between 0 and 1, got {interval}"):
        rnn_lab.load(checkpoint).predict(frame(), [interval])


def test_a_checkpoint_without_validation_gives_point_forecasts_only(tmp_path):
    path = train_model(tmp_path, *SMALL, *SYNTHETIC, "--trainer.limit_val_batches=0")
    predictor = rnn_lab.load(str(Path(path).with_name("last.ckpt")))
    assert list(predictor.predict(frame()).columns) == ["date", "y1", "y2"]
    with pytest.raises(UserError, match="has no calibration for intervals"):
        predictor.predict(frame(), [0.8])


def test_missing_values_are_ignored(checkpoint):
    missing = frame()
    missing.loc[ROWS - 6 : ROWS - 4, "y1"] = np.nan
    result = rnn_lab.load(checkpoint).predict(missing)
    expected = rnn_lab.load(checkpoint).predict(frame())
    assert np.isfinite(result["y1"]).all()
    np.testing.assert_allclose(result["y2"], expected["y2"], rtol=1e-5)


def test_each_series_of_a_long_table_is_forecast_from_its_own_end(long):
    predictor = rnn_lab.load(long)
    table = sales(60)
    north = table["unique_id"] == "north"
    uneven = pd.concat(
        [
            without_last_sales(table[north], HORIZON),
            without_last_sales(table[~north], HORIZON + 9),
        ]
    )
    result = predictor.predict(uneven)
    assert result["unique_id"].tolist() == ["north"] * HORIZON + ["south"] * HORIZON
    ends = {"north": 60 - HORIZON, "south": 60 - HORIZON - 9}
    for name, rows in result.groupby("unique_id"):
        dates = pd.date_range("2024-01-01", periods=60)[ends[name] : ends[name] + HORIZON]
        assert rows["ds"].tolist() == dates.tolist()
        alone = predictor.predict(uneven[uneven["unique_id"] == name])
        columns = ["y", "y_lower_80", "y_upper_95"]
        np.testing.assert_allclose(rows[columns], alone[columns], rtol=1e-4)


def test_future_covariates_affect_the_forecast_and_must_cover_the_horizon(long):
    predictor, table = rnn_lab.load(long), without_last_sales(sales(60), HORIZON)
    result = predictor.predict(table)
    ahead = table["y"].isna()
    other = predictor.predict(table.assign(promotion=table["promotion"].where(~ahead, 5)))
    assert (result["y"] != other["y"]).all()
    with pytest.raises(UserError, match="must cover the horizon of 4"):
        predictor.predict(without_last_sales(sales(60), HORIZON - 1))


def test_a_series_that_is_not_in_the_training_data_is_forecast_in_its_own_scale(long):
    table = without_last_sales(sales(60), HORIZON)
    strange = table.assign(unique_id=table["unique_id"] + "-east", y=1000 * table["y"])
    result = rnn_lab.load(long).predict(strange)
    for name, rows in result.groupby("unique_id"):
        sold = strange.loc[strange["unique_id"] == name, "y"]
        assert (abs(rows["y"] - sold.mean()) < 5 * sold.std()).all()


@pytest.mark.slow
def test_values_after_the_training_rows_do_not_change_trained_weights(tmp_path):
    """Weights and scaling do not change; the choice of the best epoch may."""
    rows, train = 120, 84
    first = frame(rows)
    second = first.copy()
    second.loc[train:, ["y1", "y2"]] = 77 - 3 * second.loc[train:, ["y1", "y2"]]
    result = []
    for name, table in (("first", first), ("second", second)):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
        options = ["--data=ForecastingFiles", f"--data.file={tmp_path}/{name}.csv", *SIZES]
        epochs = ["--trainer.max_epochs=2", "--early_stopping.patience=5"]
        best = train_model(tmp_path / name, *SMALL, *options, *epochs)
        result.append(torch.load(Path(best).with_name("last.ckpt"), weights_only=True))
    for weights in zip(*(content["state_dict"].values() for content in result), strict=True):
        assert torch.equal(*weights)
    scalers = [content["rnn_lab"]["data"]["series"]["scaler"] for content in result]
    assert scalers[0] == scalers[1]
    assert result[0]["rnn_lab"]["calibration"].ne(result[1]["rnn_lab"]["calibration"]).any()
    assert len(ForecastingFiles(str(tmp_path / "first.csv"), PAST, HORIZON).split("train")) == (
        train - PAST - HORIZON + 1
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.iloc[::2], "smallest step is 2h: set another freq"),
        (lambda table: None, "predict takes a pandas DataFrame, got NoneType"),
        (lambda table: pd.concat([table, table[["y1"]]], axis=1), "has duplicate columns 'y1'"),
        (
            lambda table: table.assign(y1=table["y1"].where(table.index < ROWS - PAST)),
            "target 'y1' has no value in the last 12 rows, which are the input",
        ),
    ],
)
def test_an_invalid_frame_is_refused(checkpoint, change, message):
    with pytest.raises(UserError, match=re.escape(message)):
        rnn_lab.load(checkpoint).predict(change(frame()))


def test_averaged_weights_have_no_calibration(checkpoint, tmp_path):
    last = checkpoint.replace("best.ckpt", "last.ckpt")
    assert main(["average", checkpoint, last, "--output", f"{tmp_path}/mean.ckpt"]) == 0
    predictor = rnn_lab.load(f"{tmp_path}/mean.ckpt")
    assert list(predictor.predict(frame()).columns) == ["date", "y1", "y2"]
    with pytest.raises(UserError, match="no calibration for intervals"):
        predictor.predict(frame(), intervals=[0.8])
