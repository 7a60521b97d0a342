"""Lines at a prompt can be edited, recalled and discarded; piped lines are read as they are."""

import io
import os
import pty
import select
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from rnn_lab.commands._prompt import read_lines

PROGRAM = """
from rnn_lab.commands._prompt import read_lines
for line in read_lines("Type a line", "lines"):
    print(f"[{line}]", flush=True)
"""
UP, LEFT, CTRL_C, CTRL_D = "\x1b[A", "\x1b[D", "\x03", "\x04"


class Session:
    """The program on a pseudo-terminal; its standard output may be a pipe."""

    def __init__(self, state, piped=False):
        self.terminal, side = pty.openpty()
        environment = os.environ | {"XDG_STATE_HOME": str(state), "TERM": "xterm"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=side, stdout=subprocess.PIPE if piped else side, stderr=side, env=environment,
            start_new_session=True, preexec_fn=lambda: __import__("fcntl").ioctl(0, 0x540E, 0),
        )  # fmt: skip
        os.close(side)
        self.shown = ""

    def expect(self, text, seconds=60):
        """Read until the terminal shows a text."""
        end = time.monotonic() + seconds
        while text not in self.shown:
            ready, _, _ = select.select([self.terminal], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise TimeoutError(self.shown)
            try:
                self.shown += os.read(self.terminal, 4096).decode()
            except OSError:  # the program has ended
                assert text in self.shown
        before, _, self.shown = self.shown.partition(text)
        return before

    def type(self, keys):
        os.write(self.terminal, keys.encode())

    def interrupt(self):
        """Type Ctrl-C until the prompt is shown again.

        Python notices a signal that comes just before it waits for a key only after the next key.
        """
        for _ in range(30):
            self.type(CTRL_C)
            with suppress(TimeoutError):
                self.expect("\n> ", 2)
                return
        raise TimeoutError(self.shown)

    def end(self):
        self.expect("> ")  # before it, the terminal is not yet prepared for keys
        self.type(CTRL_D)
        out, _ = self.process.communicate(timeout=60)
        os.close(self.terminal)
        assert self.process.returncode == 0
        return out


def test_lines_are_edited_and_recalled_in_the_next_session(tmp_path):
    session = Session(tmp_path)
    before = session.expect("> ")
    assert "Type a line; Ctrl-D ends." in before
    assert f"Lines are kept in {tmp_path}" in before.replace("\r\n", "")
    session.type(f"oe{LEFT}n\r")
    session.expect("[one]\r\n> ")
    session.type("discard")
    session.expect("discard")
    session.interrupt()
    session.type(f"{UP}two\r")
    assert "Traceback" not in session.expect("[onetwo]")
    session.end()
    session = Session(tmp_path)
    session.expect("> ")
    session.type(f"{UP}{UP}\r")
    session.expect("[one]")
    session.end()


def test_a_history_that_cannot_be_written_is_announced(tmp_path):
    (tmp_path / "rnn_lab").write_text("a file where the folder should be")
    session = Session(tmp_path)
    before = session.expect("> ")
    assert f"Lines are not kept in {tmp_path}/rnn_lab/lines: " in before.replace("\r\n", "")
    session.type("one\r")
    session.expect("[one]")
    session.end()


def test_a_prompt_is_never_written_to_a_pipe(tmp_path):
    session = Session(tmp_path, piped=True)
    assert "Ctrl-D ends" in session.expect("> ")
    session.type("one\r")
    assert session.end() == b"[one]\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "one\n\n two \n", "no line feed"])
def test_piped_lines_are_read_without_prompt_and_hint(text, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert list(read_lines("Type", "lines")) == text.splitlines()
    assert capsys.readouterr() == ("", "")
