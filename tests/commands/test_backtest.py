"""`rnn-lab backtest`."""

import json
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
    SMALL,
    SYNTHETIC,
    error_line,
    frame,
    synthetic,
    table,
    train_model,
)

from rnn_lab.__main__ import main


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("points")
    return train_model(folder, *SMALL, *SYNTHETIC, "--test=true")


@pytest.fixture(scope="module")
def probabilistic(tmp_path_factory):
    return train_model(tmp_path_factory.mktemp("distributions"), *PROBABILISTIC, *SYNTHETIC)


def load_of(folder):
    sizes = [f"--data.input_length={PAST}", f"--data.horizon={HORIZON}"]
    few = ["--trainer.limit_train_batches=1", "--trainer.limit_val_batches=1"]
    return ["--data=ForecastingFiles", f"--data.file={folder}/load.csv", *sizes, *few]


@pytest.fixture(scope="module")
def of_a_file(tmp_path_factory):
    """A folder with a table, and a checkpoint that was trained on it."""
    folder = tmp_path_factory.mktemp("of_a_file")
    frame().to_csv(folder / "load.csv", index=False)
    return folder, train_model(folder, *SMALL, *load_of(folder))


def run_of(checkpoint):
    return Path(checkpoint).parents[1]


def scores(path):
    return json.loads(Path(path).read_text())["scores"]


def test_a_backtest_reproduces_the_test_metrics_and_adds_baselines(
    checkpoint, tmp_path, capsys, caplog
):
    options = ["backtest", "--ckpt_path", checkpoint, "--output", str(tmp_path / "out")]
    assert main(options) == 0
    assert "units of the file" in capsys.readouterr().out
    count = len(pd.read_parquet(tmp_path / "out/forecasts.parquet"))
    assert f"forecasts.parquet: {count:,} rows, " in caplog.text
    rows = table(tmp_path / "out/backtest.csv")
    overall = {row["model"]: row for row in rows if row["step"] == "all"}
    assert list(overall) == [
        "LSTMForecaster", "LSTMForecaster, rolling intervals", "last value", "drift",
    ]  # fmt: skip
    tested = scores(run_of(checkpoint) / "scores.json")
    for name, value in tested.items():
        assert float(overall["LSTMForecaster"][name]) == pytest.approx(value, rel=1e-4)
        rolling = overall["LSTMForecaster, rolling intervals"][name]
        assert float(rolling) == pytest.approx(value, rel=1e-4)
    steps = [row for row in rows if row["model"] == "drift" and row["step"] != "all"]
    assert [row["step"] for row in steps] == [str(step + 1) for step in range(HORIZON)]
    mean = np.mean([float(row["mae"]) for row in steps])
    assert float(overall["drift"]["mae"]) == pytest.approx(mean, rel=1e-5)
    assert (tmp_path / "out/forecasts.png").exists()
    assert (tmp_path / "out/errors_by_step.png").exists()


@pytest.mark.slow
def test_baselines_of_a_backtest_have_the_metrics_of_their_own_test(checkpoint, tmp_path):
    options = ["backtest", "--ckpt_path", checkpoint, "--data.season_length=6"]
    assert main([*options, "--output", str(tmp_path)]) == 0
    overall = {
        row["model"]: row for row in table(tmp_path / "backtest.csv") if row["step"] == "all"
    }
    baselines = {
        "last value": "LastValueForecaster",
        "drift": "DriftForecaster",
        "seasonal naive (6)": "SeasonalNaiveForecaster",
    }
    for name, model in baselines.items():
        run_dir = tmp_path / model
        options = [
            f"--model={model}",
            "--data.season_length=6",
            *SMALL[2:],
            *SYNTHETIC,
            "--test=true",
        ]
        train_model(run_dir, *options)
        for error, value in scores(run_dir / "run/scores.json").items():
            assert float(overall[name][error]) == pytest.approx(value, rel=1e-4)


@pytest.mark.slow
def test_several_checkpoints_are_compared(checkpoint, probabilistic, tmp_path, capsys):
    options = ["backtest", "--ckpt_path", probabilistic, f"--compare=[{checkpoint}]", "--output"]
    assert main([*options, str(tmp_path)]) == 0
    names = [row["model"] for row in table(tmp_path / "backtest.csv") if row["step"] == "all"]
    assert names == ["DeepARForecaster", "LSTMForecaster", "last value", "drift"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data.input_length=9"], "has input_length 9, expected"),
        (["--data.scaling=none"], "was trained with another scaling"),
        (["--data.calendar=[weekday]"], "was trained with calendar weekday, the data has none"),
        (["--data.targets=[y2,y1]"], "was trained with targets y2, y1, the data has y1, y2"),
    ],
)
def test_checkpoints_with_other_windows_or_columns_are_refused(
    of_a_file, tmp_path, capsys, options, message
):
    folder, one = of_a_file
    other = train_model(tmp_path, *SMALL, *load_of(folder), *options)
    line = error_line(capsys, "backtest", "--ckpt_path", one, f"--compare=[{other}]",
                   f"--data.file={folder}/load.csv", f"--output={tmp_path}/out")  # fmt: skip
    assert line.startswith("rnn-lab: ")
    assert message in line


@pytest.mark.slow
def test_a_backtest_can_refit_the_model_periodically(tmp_path):
    """The first period uses the trained model; later ones a model trained on more rows."""
    best = train_model(tmp_path, *SMALL, *SYNTHETIC, "--test=true")
    options = ["backtest", "--ckpt_path", best, "--refit_every=40", "--data.stride=5"]
    assert main([*options, f"--output={tmp_path}/out"]) == 0
    overall = {row["model"]: row for row in table(tmp_path / "out/backtest.csv")
             if row["step"] == "all"}  # fmt: skip
    once, refit = (float(overall[f"LSTMForecaster{rest}"]["mse"]) for rest in ("", ", refitted"))
    assert once != refit
    assert np.isfinite(refit)
    again = tmp_path / "out/refit-1"
    valid, test = json.loads((again / "split.json").read_text())
    windows = synthetic().split("test")
    origin = int(windows.origin(np.array([0]))[1][0])
    assert test == str(synthetic().panel.times(0, origin + 40, 1)[0])
    assert valid < test
    content = torch.load(again / "checkpoints/best.ckpt", weights_only=True)
    assert content["rnn_lab"]["data"]["init_args"]["split"] == [valid, test]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ckpt_path=no.ckpt"], "no.ckpt does not exist"),
        (["--recalibrate_every=0"], "recalibrate_every must be at least 1, got 0"),
        (["--refit_every=0"], "refit_every must be at least 1, got 0"),
        (["--data.file=a.csv"], "SyntheticSeries: .*file"),
        (["--data.split=[0.5]"], "invalid split"),
        (["--data.columns.id=shop"], "--data.columns.id is set by the checkpoint: remove it"),
        (["--data.input_length", "9"], "--data.input_length is set by the checkpoint: remove it"),
    ],
)
def test_invalid_options_are_refused_in_one_line(checkpoint, tmp_path, capsys, options, message):
    line = error_line(
        capsys, "backtest", "--ckpt_path", checkpoint, "--output", tmp_path / "out", *options
    )
    assert line.startswith("rnn-lab: ")
    assert re.search(message, line)
    assert not (tmp_path / "out").exists()


def test_a_missing_checkpoint_is_refused(capsys, tmp_path):
    line = error_line(capsys, "backtest", "--ckpt_path", tmp_path / "nope.ckpt")
    assert "nope.ckpt does not exist" in line


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "windows"), [(120, 1), (144, 5)])
def test_monthly_rows_are_trained_backtested_and_forecast(tmp_path, capsys, caplog, rows, windows):
    """The validation split has one window or five: too few for the 95% interval."""
    months, noise = np.arange(rows), np.random.default_rng(0).normal(0, 5, rows)
    passengers = (100 + 2 * months) * (1 + 0.2 * np.sin(months * np.pi / 6)) + noise
    file = tmp_path / "passengers.csv"
    dates = pd.date_range("1949-01-01", periods=rows, freq="MS")
    pd.DataFrame({"month": dates, "passengers": passengers}).to_csv(file, index=False)
    best = train_model(tmp_path, *SMALL, "--data=ForecastingFiles", f"--data.file={file}",
                       "--data.columns.time=month", "--data.input_length=24",
                       "--data.horizon=12", "--test=true")  # fmt: skip
    assert (run_of(best) / "forecasts.png").exists()
    capsys.readouterr()
    assert main(["backtest", f"--ckpt_path={best}", f"--data.file={file}"]) == 0
    output = capsys.readouterr()
    assert f"the 95% interval is not calibrated and left empty: a step has {windows} values" in (
        caplog.text
    )
    assert ("the 80% interval is not calibrated" in caplog.text) == (windows < 4)
    assert "nan" not in output.out
    results = table(run_of(best) / "backtest/backtest.csv")
    assert results[0]["model"] == "LSTMForecaster"
    assert float(results[0]["mse"]) > 0
    assert {row["coverage_95"] for row in results} == {""}
    assert (results[0]["coverage_80"] == "") == (windows < 4)
    by_series = table(run_of(best) / "backtest/backtest_by_series.csv")
    assert float(by_series[0]["rmse"]) >= float(by_series[0]["mae"]) > 1  # in passengers
    kept = pd.read_parquet(run_of(best) / "backtest/forecasts.parquet")
    assert kept["lower_95"].isna().all()
    assert kept["forecast"].between(0, 1000).all()
    caplog.clear()
    answers = tmp_path / "answers.csv"
    line = ["predict", f"--ckpt_path={best}", f"--input={file}", f"--output={answers}"]
    assert main(line) == 0
    assert "the 95% interval is not calibrated and left empty" in caplog.text
    answer = table(answers)
    assert len(answer) == 12
    assert all(row["passengers_lower_95"] == row["passengers_upper_95"] == "" for row in answer)
    assert all((row["passengers_lower_80"] == "") == (windows < 4) for row in answer)
    assert all(0 < float(row["passengers"]) < 1000 for row in answer)
