"""`rnn-lab predict` with a forecaster."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
import torch
from forecast_runs import (
    HORIZON,
    PAST,
    PROBABILISTIC,
    SIZES,
    SMALL,
    SYNTHETIC,
    error_line,
    frame,
    sales,
    synthetic,
    train_model,
    without_last_sales,
)

import rnn_lab
from rnn_lab.__main__ import main
from rnn_lab.io.lines import RECORD_LIMIT


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("points")
    return train_model(folder, *SMALL, *SYNTHETIC, "--test=true")


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


def test_the_command_forecasts_a_file_and_standard_input(checkpoint, tmp_path, capsys, monkeypatch):
    frame().to_csv(tmp_path / "new.csv", index=False)
    line = ["predict", "--ckpt_path", checkpoint, "--input"]
    assert main([*line, str(tmp_path / "new.csv")]) == 0
    shown = capsys.readouterr().out
    expected = rnn_lab.load(checkpoint).predict(pd.read_csv(tmp_path / "new.csv"))
    result = pd.read_csv(io.StringIO(shown), parse_dates=["date"])
    pd.testing.assert_frame_equal(result, expected, check_dtype=False, rtol=1e-5)
    write_to_stdin(monkeypatch, (tmp_path / "new.csv").read_bytes())
    assert main([*line, "-"]) == 0
    assert capsys.readouterr().out == shown


def write_to_stdin(monkeypatch, content):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_separator_and_decimal_mark_of_standard_input_are_inferred(checkpoint, capsys, monkeypatch):
    line = ["predict", "--ckpt_path", checkpoint, "--input=-"]
    shown = []
    for options in ({}, {"sep": ";", "decimal": ","}):
        write_to_stdin(monkeypatch, frame().to_csv(index=False, **options).encode())
        assert main(line) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_the_output_format_follows_the_file_extension(checkpoint, tmp_path, ending):
    frame().to_csv(tmp_path / "new.csv", index=False)
    output = tmp_path / "deep" / f"next.{ending}"
    line = ["predict", "--ckpt_path", checkpoint, "--input", str(tmp_path / "new.csv")]
    assert main([*line, "--output", str(output), "--intervals=[0.9]"]) == 0
    read = {
        "csv": pd.read_csv,
        "jsonl": lambda path: pd.read_json(path, lines=True),
        "parquet": pd.read_parquet,
    }
    result = read[ending](output)
    expected = rnn_lab.load(checkpoint).predict(frame(), [0.9])
    assert list(result.columns) == list(expected.columns)
    np.testing.assert_allclose(result["y2_upper_90"], expected["y2_upper_90"], rtol=1e-4)
    assert pd.to_datetime(result["date"]).dt.tz_localize(None).tolist() == expected["date"].tolist()


@pytest.mark.parametrize("format", ["csv", "tsv", "txt", "parquet"])
def test_the_input_format_is_that_of_the_option(checkpoint, tmp_path, capsys, monkeypatch, format):
    frame().to_csv(tmp_path / "new.csv", index=False)
    other = tmp_path / "new.dat"
    if format == "parquet":
        frame().to_parquet(other)
    else:
        frame().to_csv(other, index=False, sep="\t" if format == "tsv" else ";")
    ask = ["predict", "--ckpt_path", checkpoint, "--input"]
    assert main([*ask, str(tmp_path / "new.csv")]) == 0
    shown = capsys.readouterr().out
    assert main([*ask, str(other), f"--input-format={format}"]) == 0
    assert capsys.readouterr().out == shown
    write_to_stdin(monkeypatch, other.read_bytes())
    refused = format == "parquet"
    assert main([*ask, "-", f"--input-format={format}"]) == refused
    result = capsys.readouterr()
    assert (result.out, "Parquet cannot be read from standard input" in result.err) == (
        "" if refused else shown,
        refused,
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("new.dat", [], "expected .csv, .tsv or .parquet, or set --input-format=csv, tsv or par"),
        ("new.csv", ["--input-format=ts"], "format 'ts' is unknown: give one of csv, tsv, txt, pa"),
        ("-", ["--input-format=ts"], "format 'ts' is unknown: give one of csv, tsv, txt, parquet"),
    ],
    ids=["not-inferred", "unknown", "unknown-of-standard-input"],
)
def test_an_unknown_input_format_is_refused(checkpoint, tmp_path, capsys, name, options, message):
    path = name if name == "-" else tmp_path / name
    line = error_line(capsys, "predict", "--ckpt_path", checkpoint, "--input", path, *options)
    assert message in line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="y2"), "y2"),
        (lambda table: table[-PAST + 1 :], f"has {PAST - 1} observed rows"),
        (lambda table: table.assign(y1="much"), "y1"),
        (lambda table: table.rename(columns={"date": "when"}), "date"),
        (lambda table: table[::-1], "new.csv"),
        (lambda table: table[:0], "new.csv"),
    ],
)
def test_errors_in_the_input_file_are_one_line(checkpoint, tmp_path, capsys, change, message):
    change(frame()).to_csv(tmp_path / "new.csv", index=False)
    path = tmp_path / "new.csv"
    line = error_line(capsys, "predict", "--ckpt_path", checkpoint, "--input", path)
    assert line.startswith("rnn-lab: ")
    assert "new.csv" in line
    assert message in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "standard input is empty"),
        (b'date,y1,y2\n"2024-01-01', "standard input is not a table"),
        (b"date,y1,y2\n\xff", "standard input is not utf-8 (byte 0xff)"),
        (b"date,y1,y2\n" + b"1" * (RECORD_LIMIT + 1), "standard input line 2 has more than"),
    ],
)
def test_errors_in_standard_input_are_one_line(checkpoint, capsys, monkeypatch, text, message):
    write_to_stdin(monkeypatch, text)
    line = error_line(capsys, "predict", "--ckpt_path", checkpoint, "--input", "-")
    assert line.startswith("rnn-lab: ")
    assert message in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format=text"], "the format of forecasts must be one of csv, jsonl, parquet"),
        (["--format=parquet"], "the format of forecasts must be one of csv, jsonl, parquet"),
        (["--output=next.xlsx"], "the format of forecasts must be one of csv, jsonl, parquet"),
        (["--intervals=[1.5]"], "intervals must be between 0 and 1, got 1.5"),
        (["--beam_size=2"], "--beam_size requires a translation model"),
        (["--references=a.txt"], "--references requires a translation model"),
    ],
)
def test_invalid_options_are_refused_in_one_line(checkpoint, tmp_path, capsys, options, message):
    frame().to_csv(tmp_path / "new.csv", index=False)
    path = tmp_path / "new.csv"
    line = error_line(capsys, "predict", "--ckpt_path", checkpoint, "--input", path, *options)
    assert line.startswith("rnn-lab: ")
    assert message in line


@pytest.mark.slow
def test_a_checkpoint_gives_the_same_forecast_in_another_process_and_folder(checkpoint, tmp_path):
    """The folder contains only the checkpoint and the series."""
    shutil.copy(checkpoint, tmp_path / "a.ckpt")
    frame().to_csv(tmp_path / "new.csv", index=False)
    environment = {k: v for k, v in os.environ.items() if k != "RNN_LAB_DATA"}
    result = subprocess.run(
        [*(sys.executable, "-m", "rnn_lab", "predict", "--ckpt_path", "a.ckpt"),
         *("--input", "new.csv")],
        cwd=tmp_path, env=environment | {"XDG_CACHE_HOME": str(tmp_path)},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    expected = rnn_lab.load(checkpoint).predict(frame())
    np.testing.assert_allclose(
        pd.read_csv(io.StringIO(result.stdout))[["y1", "y2"]], expected[["y1", "y2"]], rtol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("model", [SMALL, PROBABILISTIC], ids=["points", "distributions"])
def test_two_processes_compute_the_same_metrics_as_one(model, tmp_path, monkeypatch):
    """Two processes train and test; one process tests the same checkpoint."""
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
def test_two_processes_give_the_same_forecasts_as_one(long, tmp_path):
    """Each process forecasts some series; rows keep the order of the table."""
    without_last_sales(sales(60), HORIZON).to_csv(tmp_path / "sales.csv", index=False)
    ask = ["predict", "--ckpt_path", long, "--input", f"{tmp_path}/sales.csv"]
    ask = [*ask, "--trainer.accelerator=cpu"]
    assert main([*ask, "--output", f"{tmp_path}/one.csv"]) == 0
    assert main([*ask, "--output", f"{tmp_path}/two.csv", "--trainer.devices=2"]) == 0
    one, two = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("one", "two"))
    pd.testing.assert_frame_equal(two, one, rtol=1e-5)


def test_a_single_series_is_refused_on_two_processes(checkpoint, tmp_path, capsys):
    frame().to_csv(tmp_path / "wide.csv", index=False)
    ask = ["predict", "--ckpt_path", checkpoint, "--input", f"{tmp_path}/wide.csv"]
    assert main([*ask, "--trainer.accelerator=cpu", "--trainer.devices=2"]) == 1
    assert "remove --trainer.devices" in capsys.readouterr().err
