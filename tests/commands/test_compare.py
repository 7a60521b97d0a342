"""`rnn-lab compare`: table and figure of tested runs, and its errors in one line."""

from pathlib import Path

import pytest
from command_line import REVIEWS, SIZES, error_of, run
from saved_runs import experiment

from rnn_lab.commands import compare as command
from rnn_lab.comparison.compare import COSTS
from rnn_lab.comparison.tables import FORMATS

pytestmark = pytest.mark.usefixtures("empty_folder")
TWO = {"GRU": [0.80, 0.82], "LSTM": [0.70, 0.72]}


def test_trained_runs_are_compared(capsys):
    for layer in ("LSTM", "GRU"):
        options = ["--model=TextClassifier", f"--model.layer={layer}", f"--name={layer}"]
        assert run("fit", *options, *REVIEWS[1:], *SIZES, "--test=true") == 0
    capsys.readouterr()
    assert run("compare", "--by", "model.layer", "--against", "LSTM") == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed[1:3]] == ["GRU", "LSTM"]
    assert "reference" in printed[2]


def test_all_formats_and_a_figure(capsys):
    experiment(Path("runs"), TWO)
    for name in FORMATS:
        assert run("compare", f"--format={name}", "--plot=a.svg") == 0
        assert "GRU" in capsys.readouterr().out
    assert "Pareto front" in Path("a.svg").read_text() or Path("a.svg").stat().st_size > 1000


def test_groups_that_the_figure_leaves_out_are_named(capsys):
    experiment(Path("runs"), TWO)
    for seed in (1, 2):
        Path(f"runs/GRU-{seed}/cost.json").unlink()
    assert run("compare", "--plot=a.svg") == 0
    assert "warning: not in the figure, since no run recorded the cost seconds: GRU" in (
        capsys.readouterr().err
    )


def test_the_choices_of_the_options_are_those_of_the_package():
    assert {*FORMATS} == {*command.FORMATS}
    assert COSTS == command.COSTS


def test_warnings_are_on_standard_error(capsys):
    experiment(Path("runs"), TWO)
    Path("runs/GRU-1/predictions.test.parquet").unlink()
    assert run("compare", "--against", "LSTM") == 0
    printed = capsys.readouterr()
    assert printed.err.startswith("rnn-lab: warning: runs/GRU-1 has no readable")
    assert "warning" not in printed.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "a comparison needs at least 2 runs, runs has 1"),
        (["missing"], "missing is not a folder"),
        (["--confidence", "95"], "--confidence must be between 0 and 1, got 95.0"),
        (["--format", "excel"], "invalid choice: 'excel'"),
    ],
    ids=["one", "folder", "confidence", "format"],
)
def test_mistakes_cost_one_line(options, message, capsys):
    experiment(Path("runs"), {"GRU": [0.5]})
    assert message in error_of(capsys, "compare", *options)


def test_a_figure_that_cannot_be_written(capsys):
    experiment(Path("runs"), TWO)
    message = "--plot=missing/a.svg cannot be written: No such file or directory"
    assert message in error_of(capsys, "compare", "--plot=missing/a.svg")
    assert "--plot=a.unknown cannot be written" in error_of(capsys, "compare", "--plot=a.unknown")
