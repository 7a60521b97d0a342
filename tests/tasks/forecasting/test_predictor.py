"""Series in, forecasts out: in Python and on the command line."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import rnn_lab
from rnn_lab.__main__ import main
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.loading import load_task
from rnn_lab.datamodules import ForecastingFiles, SyntheticSeries
from rnn_lab.errors import UserError

PAST, HORIZON, ROWS = 12, 4, 400
SIZES = [f"--data.input_length={PAST}", f"--data.horizon={HORIZON}"]
SYNTHETIC = ["--data=SyntheticSeries", f"--data.length={ROWS}", "--data.channels=2", *SIZES]
SMALL = ["--model=LSTMForecaster", "--model.hidden_dim=8", "--trainer.accelerator=cpu"]
DEEP = ["--model=DeepARForecaster", "--model.hidden_dim=4", *SMALL[2:]]
BOUNDS = [f"{side}_{level}" for level in (80, 95) for side in ("lower", "upper")]


def trained(folder, *words):
    """A model that was hardly trained: what it says does not matter here."""
    line = ["fit", "--trainer.max_epochs=1", "--trainer.limit_train_batches=3", *words]
    assert main([*line, f"--trainer.default_root_dir={folder}/run"]) == 0
    return str(folder / "run/checkpoints/best.ckpt")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("points")
    return trained(folder, *SMALL, *SYNTHETIC, "--test=true")


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("distributions"), *DEEP, *SYNTHETIC)


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """Of two series in a long table, with what is known of the future."""
    folder = tmp_path_factory.mktemp("long")
    promoted(60).to_csv(folder / "sales.csv", index=False)
    known = [
        "--data.columns.future_covariates=[promotion]",
        "--data.columns.static_covariates=[unique_id,size]",
    ]
    words = [f"--data.file={folder}/sales.csv", "--data.calendar=[weekday]", *known, *SIZES]
    return trained(folder, *SMALL, "--data=ForecastingFiles", *words)


def synthetic():
    return SyntheticSeries(ROWS, 2, input_length=PAST, horizon=HORIZON)


def frame(rows=ROWS):
    """The generated series as a table."""
    panel = synthetic().panel
    values = {name: panel.values[:rows, i] for i, name in enumerate(panel.targets)}
    return pd.DataFrame({"date": panel.times(0, 0, rows), **values})


def promoted(rows):
    rng = np.random.default_rng(0)
    parts = []
    for number, name in enumerate(("north", "south")):
        dates = pd.date_range("2024-01-01", periods=rows)
        promotion = rng.integers(0, 2, rows)
        sold = 100 * (1 + number) + 20 * promotion + rng.normal(0, 1, rows)
        columns = {"ds": dates, "y": sold, "promotion": promotion, "size": 3.0 + number}
        parts.append(pd.DataFrame({"unique_id": name, **columns}))
    return pd.concat(parts, ignore_index=True)


def unsold(table, last):
    """The sales of the last days are still to come."""
    table = table.copy()
    place = table.groupby("unique_id").cumcount(ascending=False)
    table.loc[place < last, "y"] = np.nan
    return table


def refused(capsys, *words):
    try:
        status = main([str(word) for word in words])
    except SystemExit as stop:
        status = stop.code
    (line,) = capsys.readouterr().err.splitlines()
    assert status in (1, 2)
    return line


def run_of(checkpoint):
    return Path(checkpoint).parents[1]


def scores(path):
    return json.loads(Path(path).read_text())["scores"]


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_forecast_has_a_row_for_each_step_after_the_last(checkpoint):
    found = rnn_lab.load(checkpoint).predict(frame())
    bounds = [f"{name}_{bound}" for name in ("y1", "y2") for bound in BOUNDS]
    assert set(found.columns) == {"date", "y1", "y2", *bounds}
    begin = frame()["date"].iloc[-1]
    ahead = pd.date_range(begin, periods=HORIZON + 1, freq="h")[1:]
    assert found["date"].tolist() == ahead.tolist()


def test_forecasts_are_in_the_units_of_the_series(checkpoint):
    table = frame()
    predictor = rnn_lab.load(checkpoint)
    found = predictor.predict(table)
    for name in ("y1", "y2"):
        values = table[name].iloc[-PAST:]
        reach = 3 * (values.max() - values.min())
        assert ((found[name] - values.mean()).abs() < reach).all()


@pytest.mark.parametrize("which", ["checkpoint", "deep"])
def test_bounds_lie_around_the_forecast_the_wider_the_surer(which, request):
    found = rnn_lab.load(request.getfixturevalue(which)).predict(frame())
    for name in ("y1", "y2"):
        order = [f"{name}_lower_95", f"{name}_lower_80", f"{name}_upper_80", f"{name}_upper_95"]
        assert (np.diff(found[order].to_numpy(), axis=1) >= 0).all()
        assert (found[f"{name}_lower_95"] < found[name]).all()
        assert (found[name] < found[f"{name}_upper_95"]).all()


@pytest.mark.parametrize("which", ["checkpoint", "deep"])
def test_a_forecast_is_what_the_test_says_of_that_window(which, request):
    path = request.getfixturevalue(which)
    predictor, windows = rnn_lab.load(path), synthetic().split("test")
    task = load_task(Checkpoint.open(path)).eval()
    for row in (0, 17, len(windows) - 1):
        origin = int(windows.origin(np.array([row]))[1][0])
        batch = windows[np.array([row])]
        point = task.step(batch).predictions.point[0].detach()
        expected = (point * batch.scale + batch.location).numpy()
        found = predictor.predict(frame(origin))
        np.testing.assert_allclose(found[["y1", "y2"]], expected, rtol=1e-4, atol=1e-4)
        assert found["date"].tolist() == pd.to_datetime(windows.times(row)).tolist()


def test_only_the_last_steps_that_are_seen_matter(checkpoint):
    predictor = rnn_lab.load(checkpoint)
    pd.testing.assert_frame_equal(predictor.predict(frame()[-PAST:]), predictor.predict(frame()))
    shuffled = frame()[["y2", "date", "y1"]]
    pd.testing.assert_frame_equal(predictor.predict(shuffled), predictor.predict(frame()))


def test_intervals_are_those_that_are_asked_for(checkpoint, deep):
    for path in (checkpoint, deep):
        predictor = rnn_lab.load(path)
        found = predictor.predict(frame(), [0.5, 0.8])
        whole = predictor.predict(frame())
        assert {"y1_lower_50", "y1_upper_50", "y1_lower_80"} <= set(found.columns)
        assert "y1_lower_95" not in found.columns
        np.testing.assert_allclose(found["y1_upper_80"], whole["y1_upper_80"])
        assert (found["y1_upper_50"] <= found["y1_upper_80"]).all()
        assert list(predictor.predict(frame(), []).columns) == ["date", "y1", "y2"]


@pytest.mark.parametrize("interval", [0, 1, -0.5, 80])
def test_an_interval_without_meaning_is_refused(checkpoint, interval):
    with pytest.raises(UserError, match=f"intervals must be between 0 and 1, got {interval}"):
        rnn_lab.load(checkpoint).predict(frame(), [interval])


def test_a_checkpoint_without_validation_gives_points_alone(tmp_path):
    path = trained(tmp_path, *SMALL, *SYNTHETIC, "--trainer.limit_val_batches=0")
    predictor = rnn_lab.load(str(Path(path).with_name("last.ckpt")))
    assert list(predictor.predict(frame()).columns) == ["date", "y1", "y2"]
    with pytest.raises(UserError, match="has no calibration for intervals"):
        predictor.predict(frame(), [0.8])


def test_missing_values_are_read_over(checkpoint):
    holes = frame()
    holes.loc[ROWS - 6 : ROWS - 4, "y1"] = np.nan
    found = rnn_lab.load(checkpoint).predict(holes)
    whole = rnn_lab.load(checkpoint).predict(frame())
    assert np.isfinite(found["y1"]).all()
    np.testing.assert_allclose(found["y2"], whole["y2"], rtol=1e-5)


def test_the_command_forecasts_a_file_and_standard_input(checkpoint, tmp_path, capsys, monkeypatch):
    frame().to_csv(tmp_path / "new.csv", index=False)
    line = ["predict", "--ckpt_path", checkpoint, "--input"]
    assert main([*line, str(tmp_path / "new.csv")]) == 0
    shown = capsys.readouterr().out
    expected = rnn_lab.load(checkpoint).predict(pd.read_csv(tmp_path / "new.csv"))
    found = pd.read_csv(io.StringIO(shown), parse_dates=["date"])
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-5)
    monkeypatch.setattr("sys.stdin", io.StringIO((tmp_path / "new.csv").read_text()))
    assert main([*line, "-"]) == 0
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_forecasts_are_written_as_the_ending_says(checkpoint, tmp_path, ending):
    frame().to_csv(tmp_path / "new.csv", index=False)
    output = tmp_path / "deep" / f"next.{ending}"
    line = ["predict", "--ckpt_path", checkpoint, "--input", str(tmp_path / "new.csv")]
    assert main([*line, "--output", str(output), "--intervals=[0.9]"]) == 0
    read = {
        "csv": pd.read_csv,
        "jsonl": lambda path: pd.read_json(path, lines=True),
        "parquet": pd.read_parquet,
    }
    found = read[ending](output)
    expected = rnn_lab.load(checkpoint).predict(frame(), [0.9])
    assert list(found.columns) == list(expected.columns)
    np.testing.assert_allclose(found["y2_upper_90"], expected["y2_upper_90"], rtol=1e-4)
    assert pd.to_datetime(found["date"]).dt.tz_localize(None).tolist() == expected["date"].tolist()


@pytest.mark.parametrize(
    ("change", "wish"),
    [
        (lambda table: table.drop(columns="y2"), "y2"),
        (lambda table: table[-PAST + 1 :], f"has {PAST - 1} observed rows"),
        (lambda table: table.assign(y1="much"), "y1"),
        (lambda table: table.rename(columns={"date": "when"}), "date"),
        (lambda table: table[::-1], "new.csv"),
        (lambda table: table[:0], "new.csv"),
    ],
)
def test_mistakes_in_the_input_cost_one_line(checkpoint, tmp_path, capsys, change, wish):
    change(frame()).to_csv(tmp_path / "new.csv", index=False)
    path = tmp_path / "new.csv"
    line = refused(capsys, "predict", "--ckpt_path", checkpoint, "--input", path)
    assert line.startswith("rnn-lab: ")
    assert "new.csv" in line
    assert wish in line


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("", "standard input is empty"),
        ('date,y1,y2\n"2024-01-01', "standard input is not a valid table"),
    ],
)
def test_mistakes_in_standard_input_cost_one_line(checkpoint, capsys, monkeypatch, text, wish):
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    line = refused(capsys, "predict", "--ckpt_path", checkpoint, "--input", "-")
    assert line.startswith("rnn-lab: ")
    assert wish in line


@pytest.mark.parametrize(
    ("words", "wish"),
    [
        (["--format=text"], "the format of forecasts must be one of csv, jsonl, parquet"),
        (["--format=parquet"], "the format of forecasts must be one of csv, jsonl, parquet"),
        (["--output=next.xlsx"], "the format of forecasts must be one of csv, jsonl, parquet"),
        (["--intervals=[1.5]"], "intervals must be between 0 and 1, got 1.5"),
        (["--beam_size=2"], "--beam_size requires a translation model"),
        (["--references=a.txt"], "--references requires a translation model"),
    ],
)
def test_mistakes_on_the_line_cost_one_line(checkpoint, tmp_path, capsys, words, wish):
    frame().to_csv(tmp_path / "new.csv", index=False)
    path = tmp_path / "new.csv"
    line = refused(capsys, "predict", "--ckpt_path", checkpoint, "--input", path, *words)
    assert line.startswith("rnn-lab: ")
    assert wish in line


def test_series_of_a_long_table_are_forecast_each_from_its_end(long):
    predictor = rnn_lab.load(long)
    whole = promoted(60)
    north = whole["unique_id"] == "north"
    uneven = pd.concat([unsold(whole[north], HORIZON), unsold(whole[~north], HORIZON + 9)])
    found = predictor.predict(uneven)
    assert found["unique_id"].tolist() == ["north"] * HORIZON + ["south"] * HORIZON
    ends = {"north": 60 - HORIZON, "south": 60 - HORIZON - 9}
    for name, rows in found.groupby("unique_id"):
        dates = pd.date_range("2024-01-01", periods=60)[ends[name] : ends[name] + HORIZON]
        assert rows["ds"].tolist() == dates.tolist()
        alone = predictor.predict(uneven[uneven["unique_id"] == name])
        columns = ["y", "y_lower_80", "y_upper_95"]
        np.testing.assert_allclose(rows[columns], alone[columns], rtol=1e-4)


def test_what_is_known_of_the_future_must_reach_it_and_matters(long):
    predictor, table = rnn_lab.load(long), unsold(promoted(60), HORIZON)
    found = predictor.predict(table)
    ahead = table["y"].isna()
    other = predictor.predict(table.assign(promotion=table["promotion"].where(~ahead, 5)))
    assert (found["y"] != other["y"]).all()
    with pytest.raises(UserError, match="must cover the horizon of 4"):
        predictor.predict(unsold(promoted(60), HORIZON - 1))


def test_a_series_that_training_has_not_seen_is_forecast_in_its_own_scale(long):
    table = unsold(promoted(60), HORIZON)
    strange = table.assign(unique_id=table["unique_id"] + "-east", y=1000 * table["y"])
    found = rnn_lab.load(long).predict(strange)
    for name, rows in found.groupby("unique_id"):
        sold = strange.loc[strange["unique_id"] == name, "y"]
        assert (abs(rows["y"] - sold.mean()) < 5 * sold.std()).all()


@pytest.mark.slow
def test_nothing_after_the_training_rows_changes_a_trained_weight(tmp_path):
    """Neither what is trained nor how values are scaled: only the choice of an epoch may."""
    rows, train = 120, 84
    first = frame(rows)
    second = first.copy()
    second.loc[train:, ["y1", "y2"]] = 77 - 3 * second.loc[train:, ["y1", "y2"]]
    found = []
    for name, table in (("first", first), ("second", second)):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
        words = ["--data=ForecastingFiles", f"--data.file={tmp_path}/{name}.csv", *SIZES]
        epochs = ["--trainer.max_epochs=2", "--early_stopping.patience=5"]
        best = trained(tmp_path / name, *SMALL, *words, *epochs)
        found.append(torch.load(Path(best).with_name("last.ckpt"), weights_only=True))
    for weights in zip(*(content["state_dict"].values() for content in found), strict=True):
        assert torch.equal(*weights)
    scalers = [content["rnn_lab"]["data"]["series"]["scaler"] for content in found]
    assert scalers[0] == scalers[1]
    assert found[0]["rnn_lab"]["calibration"].ne(found[1]["rnn_lab"]["calibration"]).any()
    assert len(ForecastingFiles(str(tmp_path / "first.csv"), PAST, HORIZON).split("train")) == (
        train - PAST - HORIZON + 1
    )


def test_a_backtest_measures_what_the_test_does_next_to_baselines(checkpoint, tmp_path):
    words = ["backtest", "--ckpt_path", checkpoint, "--output", str(tmp_path / "out")]
    assert main(words) == 0
    rows = table(tmp_path / "out/backtest.csv")
    whole = {row["model"]: row for row in rows if row["step"] == "all"}
    assert list(whole) == [
        "LSTMForecaster", "LSTMForecaster, rolling intervals", "last value", "drift",
    ]  # fmt: skip
    tested = scores(run_of(checkpoint) / "scores.json")
    for name, value in tested.items():
        assert float(whole["LSTMForecaster"][name]) == pytest.approx(value, rel=1e-4)
        rolling = whole["LSTMForecaster, rolling intervals"][name]
        assert float(rolling) == pytest.approx(value, rel=1e-4)
    steps = [row for row in rows if row["model"] == "drift" and row["step"] != "all"]
    assert [row["step"] for row in steps] == [str(step + 1) for step in range(HORIZON)]
    mean = np.mean([float(row["mae"]) for row in steps])
    assert float(whole["drift"]["mae"]) == pytest.approx(mean, rel=1e-5)
    assert (tmp_path / "out/forecasts.png").exists()
    assert (tmp_path / "out/errors_by_step.png").exists()


@pytest.mark.slow
def test_baselines_of_a_backtest_are_what_a_test_of_them_measures(checkpoint, tmp_path):
    words = ["backtest", "--ckpt_path", checkpoint, "--data.season_length=6"]
    assert main([*words, "--output", str(tmp_path)]) == 0
    whole = {row["model"]: row for row in table(tmp_path / "backtest.csv") if row["step"] == "all"}
    baselines = {
        "last value": "LastValueForecaster",
        "drift": "DriftForecaster",
        "seasonal naive (6)": "SeasonalNaiveForecaster",
    }
    for name, model in baselines.items():
        place = tmp_path / model
        words = [
            f"--model={model}",
            "--data.season_length=6",
            *SMALL[2:],
            *SYNTHETIC,
            "--test=true",
        ]
        trained(place, *words)
        for error, value in scores(place / "run/scores.json").items():
            assert float(whole[name][error]) == pytest.approx(value, rel=1e-4)


@pytest.mark.slow
def test_several_checkpoints_are_compared(checkpoint, deep, tmp_path, capsys):
    words = ["backtest", "--ckpt_path", deep, f"--compare=[{checkpoint}]", "--output"]
    assert main([*words, str(tmp_path)]) == 0
    names = [row["model"] for row in table(tmp_path / "backtest.csv") if row["step"] == "all"]
    assert names == ["DeepARForecaster", "LSTMForecaster", "last value", "drift"]


@pytest.mark.parametrize(
    ("words", "wish"),
    [
        (["--data.input_length=9"], "has input_length 9, expected"),
        (["--data.scaling=none"], "was trained with another scaling"),
        (["--data.calendar=[weekday]"], "was trained with calendar weekday, the data has none"),
        (["--data.targets=[y2,y1]"], "was trained with targets y2, y1, the data has y1, y2"),
    ],
)
def test_checkpoints_that_read_windows_otherwise_are_not_compared(tmp_path, capsys, words, wish):
    frame().to_csv(tmp_path / "load.csv", index=False)
    file = [
        "--data=ForecastingFiles",
        f"--data.file={tmp_path}/load.csv",
        f"--data.input_length={PAST}",
        f"--data.horizon={HORIZON}",
        "--trainer.limit_train_batches=1",
    ]
    one, other = (trained(tmp_path / name, *SMALL, *file, *more)
                  for name, more in (("one", []), ("other", words)))  # fmt: skip
    line = refused(capsys, "backtest", "--ckpt_path", one, f"--compare=[{other}]",
                   f"--data.file={tmp_path}/load.csv", f"--output={tmp_path}/out")  # fmt: skip
    assert line.startswith("rnn-lab: ")
    assert wish in line


@pytest.mark.slow
def test_a_backtest_can_train_anew_on_the_way(tmp_path):
    """Until its first refit the model is the one that was trained; later ones have seen more."""
    best = trained(tmp_path, *SMALL, *SYNTHETIC, "--test=true")
    words = ["backtest", "--ckpt_path", best, "--refit_every=40", "--data.stride=5"]
    assert main([*words, f"--output={tmp_path}/out"]) == 0
    whole = {row["model"]: row for row in table(tmp_path / "out/backtest.csv")
             if row["step"] == "all"}  # fmt: skip
    once, anew = (float(whole[f"LSTMForecaster{rest}"]["mse"]) for rest in ("", ", refitted"))
    assert once != anew
    assert np.isfinite(anew)
    again = tmp_path / "out/refit-1"
    valid, test = json.loads((again / "split.json").read_text())
    windows = synthetic().split("test")
    origin = int(windows.origin(np.array([0]))[1][0])
    assert test == str(synthetic().panel.times(0, origin + 40, 1)[0])
    assert valid < test
    saved = torch.load(again / "checkpoints/best.ckpt", weights_only=True)
    assert saved["rnn_lab"]["data"]["init_args"]["split"] == [valid, test]


@pytest.mark.parametrize(
    ("words", "wish"),
    [
        (["--ckpt_path=no.ckpt"], "no.ckpt does not exist"),
        (["--recalibrate_every=0"], "recalibrate_every must be at least 1, got 0"),
        (["--refit_every=0"], "refit_every must be at least 1, got 0"),
        (["--data.file=a.csv"], "SyntheticSeries: .*file"),
        (["--data.split=[0.5]"], "invalid split"),
    ],
)
def test_mistakes_in_a_backtest_cost_one_line(checkpoint, tmp_path, capsys, words, wish):
    line = refused(
        capsys, "backtest", "--ckpt_path", checkpoint, "--output", tmp_path / "out", *words
    )
    assert line.startswith("rnn-lab: ")
    assert re.search(wish, line)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_checkpoint_forecasts_the_same_elsewhere(checkpoint, tmp_path):
    """In another process, in a folder with nothing but the checkpoint and the series."""
    shutil.copy(checkpoint, tmp_path / "a.ckpt")
    frame().to_csv(tmp_path / "new.csv", index=False)
    environment = {k: v for k, v in os.environ.items() if k != "RNN_LAB_DATA"}
    found = subprocess.run(
        [*(sys.executable, "-m", "rnn_lab", "predict", "--ckpt_path", "a.ckpt"),
         *("--input", "new.csv")],
        cwd=tmp_path, env=environment | {"XDG_CACHE_HOME": str(tmp_path)},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    expected = rnn_lab.load(checkpoint).predict(frame())
    np.testing.assert_allclose(
        pd.read_csv(io.StringIO(found.stdout))[["y1", "y2"]], expected[["y1", "y2"]], rtol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("model", [SMALL, DEEP], ids=["points", "distributions"])
def test_two_processes_measure_what_one_does(model, tmp_path, monkeypatch):
    """Trained and tested under two processes; then the same checkpoint is tested by one."""
    left_out = ("RNN_LAB_RUN", "RNN_LAB_DATA")
    environment = {k: v for k, v in os.environ.items() if k not in left_out}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    two = ["--trainer.strategy=ddp", "--trainer.devices=2", "--trainer.max_epochs=1", "--name=a"]
    line = [sys.executable, "-m", "rnn_lab", "fit", *model, *SYNTHETIC, *two, "--test=true"]
    with subprocess.Popen(
        line, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            _, errors = process.communicate(timeout=240)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, errors
    run = tmp_path / "runs/SyntheticSeries/a"
    of_two = json.loads((run / "scores.json").read_text())
    best = run / "checkpoints/best.ckpt"
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RNN_LAB_RUN", raising=False)
    one = ["--ckpt_path", str(best), "--trainer.devices=1", "--trainer.accelerator=cpu"]
    assert main(["test", *one]) == 0
    of_one = json.loads((run / "scores.json").read_text())
    assert of_one["scores"] == pytest.approx(of_two["scores"], rel=1e-4)
    for name, steps in of_one["by_step"].items():
        assert steps == pytest.approx(of_two["by_step"][name], rel=1e-4)
    counts = torch.load(best, weights_only=True)["rnn_lab"]["calibration"]
    assert (counts.sum(-1) == len(synthetic().split("valid"))).all()


@pytest.mark.slow
def test_two_processes_forecast_as_one_does(long, tmp_path):
    """Each process has some of the series; the rows come back in the order of the table."""
    unsold(promoted(60), HORIZON).to_csv(tmp_path / "sales.csv", index=False)
    ask = ["predict", "--ckpt_path", long, "--input", f"{tmp_path}/sales.csv"]
    ask = [*ask, "--trainer.accelerator=cpu"]
    assert main([*ask, "--output", f"{tmp_path}/one.csv"]) == 0
    assert main([*ask, "--output", f"{tmp_path}/two.csv", "--trainer.devices=2"]) == 0
    one, two = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("one", "two"))
    pd.testing.assert_frame_equal(two, one, rtol=1e-5)


def test_one_series_is_forecast_by_one_process(checkpoint, tmp_path, capsys):
    frame().to_csv(tmp_path / "wide.csv", index=False)
    ask = ["predict", "--ckpt_path", checkpoint, "--input", f"{tmp_path}/wide.csv"]
    assert main([*ask, "--trainer.accelerator=cpu", "--trainer.devices=2"]) == 1
    assert "remove --trainer.devices" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
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
def test_a_frame_that_cannot_be_read_as_in_training_is_refused(checkpoint, given, message):
    with pytest.raises(UserError, match=re.escape(message)):
        rnn_lab.load(checkpoint).predict(given(frame()))


def test_averaged_weights_have_no_intervals_of_the_first_ones_errors(checkpoint, tmp_path):
    last = checkpoint.replace("best.ckpt", "last.ckpt")
    assert main(["average", checkpoint, last, "--output", f"{tmp_path}/mean.ckpt"]) == 0
    predictor = rnn_lab.load(f"{tmp_path}/mean.ckpt")
    assert list(predictor.predict(frame()).columns) == ["date", "y1", "y2"]
    with pytest.raises(UserError, match="no calibration for intervals"):
        predictor.predict(frame(), intervals=[0.8])


def test_a_checkpoint_that_is_not_there_is_named(capsys, tmp_path):
    line = refused(capsys, "backtest", "--ckpt_path", tmp_path / "nope.ckpt")
    assert "nope.ckpt does not exist" in line
