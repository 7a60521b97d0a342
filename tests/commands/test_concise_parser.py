"""The parser of all commands but those that train and test."""

import pytest

from rnn_lab.commands._concise_parser import ConciseParser


def test_an_error_is_one_line(capsys):
    parser = ConciseParser(prog="rnn-lab x")
    parser.add_argument("--size", type=int, default=1)
    assert parser.parse_args(["--size=2"]).size == 2
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(["--size=large"])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("rnn-lab: ")
    assert "--size" in line
