"""`rnn-lab report`: the file, and errors in one line."""

from pathlib import Path

import pytest
from command_line import error_of, run
from saved_runs import experiment

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_a_report_is_written_and_replaced(capsys):
    experiment(Path("runs"), {"GRU": [0.8], "LSTM": [0.7]})
    for folders, text in (([], "2 runs"), (["runs/GRU-1"], "GRU-1")):
        assert run("report", *folders, "--output=new/a.html") == 0
        assert capsys.readouterr().out == "new/a.html\n"
        assert f"<h1>{text}</h1>" in Path("new/a.html").read_text(encoding="utf-8")
    assert [path.name for path in Path("new").iterdir()] == ["a.html"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["missing"], "missing is not a folder"),
        (["empty"], "there is no run in empty"),
        (["runs", "--output=empty"], "--output=empty is a folder"),
        (["runs", "--output=file/a.html"], "file/a.html cannot be written: "),
        (["runs", "--confidence=95"], "--confidence must be between 0 and 1, got 95.0"),
        (["runs", "--by=model.layr"], "--by=model.layr is not one of those"),
    ],
    ids=["folder", "run", "output", "unwritable", "confidence", "option"],
)
def test_mistakes_cost_one_line(options, message, capsys):
    experiment(Path("runs"), {"GRU": [0.5], "LSTM": [0.5]})
    Path("empty").mkdir()
    Path("file").touch()
    assert message in error_of(capsys, "report", *options)
