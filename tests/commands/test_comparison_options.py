"""Commands that compare runs find them below the folders that they are given."""

from pathlib import Path

import pytest
from saved_runs import experiment

from rnn_lab.commands._comparison_options import add_comparison_options, run_folders
from rnn_lab.commands._light_parser import LightParser
from rnn_lab.errors import UserError

pytestmark = pytest.mark.usefixtures("empty_folder")


def parsed(*options):
    parser = LightParser()
    add_comparison_options(parser)
    return parser.parse_args([*options])


def test_runs_are_found_once_and_in_order():
    experiment(Path("runs"), {"GRU": [0.5, 0.5], "LSTM": [0.5]})
    names = [folder.name for folder in run_folders(parsed(), least=2)]
    assert names == ["GRU-1", "GRU-2", "LSTM-1"]
    given = parsed("runs/LSTM-1", "runs")
    assert [folder.name for folder in run_folders(given, least=2)] == ["LSTM-1", "GRU-1", "GRU-2"]


@pytest.mark.parametrize(
    ("options", "least", "message"),
    [
        (["runs/GRU-1"], 2, "a comparison needs at least 2 runs, runs/GRU-1 has 1"),
        (["empty"], 1, "there is no run in empty"),
        (["missing"], 1, "missing is not a folder"),
        (["--confidence=1"], 1, "--confidence must be between 0 and 1, got 1.0"),
    ],
    ids=["one", "none", "folder", "confidence"],
)
def test_too_few_runs_are_refused(options, least, message):
    experiment(Path("runs"), {"GRU": [0.5]})
    Path("empty").mkdir()
    with pytest.raises(UserError, match=message):
        run_folders(parsed(*options), least)
