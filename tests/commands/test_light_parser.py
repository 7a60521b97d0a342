"""The light parser reports an error in one line, and takes both spellings of an option."""

import pytest

from rnn_lab.commands._light_parser import LightParser


def parser():
    found = LightParser(prog="rnn-lab x")
    found.add_argument("--some_name", type=int)
    return found


def test_options_may_have_dashes():
    assert parser().parse_args(["--some-name=3"]).some_name == 3


@pytest.mark.parametrize("options", [["--some_name=x"], ["--unknown=1"], ["--some=1"]])
def test_an_error_is_one_line(options, capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        parser().parse_args(options)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("rnn-lab: ")
