"""Progress bars."""

import sys
from collections.abc import Iterator

import pytest

from rnn_lab.io.progress import progress


def test_nothing_is_printed_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(range(5), "counting")) == [0, 1, 2, 3, 4]
    assert capsys.readouterr() == ("", "")


def test_a_bar_is_shown_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert list(progress(range(5), "counting", 5)) == [0, 1, 2, 3, 4]
    output = capsys.readouterr()
    assert output.out == ""
    assert "counting" in output.err
    assert "5/5" in output.err


def test_items_are_consumed_lazily() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise AssertionError

    assert next(progress(items(), "counting")) == 1
