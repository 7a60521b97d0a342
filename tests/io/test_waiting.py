"""What takes long is shown on a terminal, and nowhere else."""

import io
import sys
import time
from contextlib import suppress

import pytest

from rnn_lab.io import waiting as module
from rnn_lab.io.waiting import waiting


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def wait(self):
        """Wait until something is written."""
        end = time.monotonic() + 60
        while not self.getvalue():
            assert time.monotonic() < end
            time.sleep(0.01)


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(module, "DELAY", 0.03)
    monkeypatch.setattr(module, "INTERVAL", 0.01)
    monkeypatch.setenv("COLUMNS", "20")


def test_a_terminal_shows_what_takes_long_on_one_line_and_then_nothing(monkeypatch, capsys):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with suppress(KeyError), waiting("a very long description of the work"):
        screen.wait()
        raise KeyError
    assert sys.stderr is screen
    *lines, end = screen.getvalue().split("\r")[1:]
    assert lines
    assert all(line == "a very long descrip" for line in lines)
    assert end == "\x1b[2K"
    assert capsys.readouterr().out == ""


def test_what_is_written_meanwhile_has_lines_of_its_own(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with waiting("work"):
        screen.wait()
        print("a notice", file=sys.stderr)
    assert sys.stderr is screen
    assert "\r\x1b[2Ka notice\n" in screen.getvalue()


def test_short_work_shows_nothing(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with waiting("work"):
        pass
    assert screen.getvalue() == ""


def test_a_log_file_has_no_such_line(capsys):
    with waiting("work"):
        time.sleep(0.05)
    assert capsys.readouterr() == ("", "")
