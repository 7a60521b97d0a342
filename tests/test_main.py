"""The entry point `rnn-lab`: commands, help, exit statuses."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import rnn_lab
from rnn_lab import __main__ as entry
from rnn_lab.errors import UserError


@pytest.fixture
def command(monkeypatch):
    """Replace the command `list`, so that a test decides what it does."""

    def replace(main):
        monkeypatch.setattr(entry, "import_module", lambda name: SimpleNamespace(main=main))

    monkeypatch.delenv("RNN_LAB_DEBUG", raising=False)
    return replace


def test_every_command_has_a_description_of_one_sentence():
    descriptions = entry.commands()
    assert {"fit", "test", "predict", "list"} <= descriptions.keys()
    for description in descriptions.values():
        assert description.endswith(".")
        assert description[0].isupper()


@pytest.mark.parametrize("args", [["-h"], ["--help"], ["help"]])
def test_the_help_lists_the_commands(args, capsys):
    assert entry.main(args) == 0
    output = capsys.readouterr().out
    for name, text in entry.commands().items():
        assert f"  {name} " in output
        assert text in output


def test_the_program_alone_greets(capsys):
    assert entry.main([]) == 0
    assert f"rnn_lab {rnn_lab.__version__}" in capsys.readouterr().out


def test_the_version_is_printed(capsys):
    assert entry.main(["--version"]) == 0
    assert capsys.readouterr().out == f"rnn-lab {rnn_lab.__version__}\n"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("fti", "did you mean fit?"), ("12", "choose from "), ("_sbatch_options", "choose ")],
)
def test_an_unknown_command_is_reported(name, hint, capsys):
    assert entry.main([name]) == 2
    assert f"unknown command {name!r}: {hint}" in capsys.readouterr().err


def test_user_errors_are_printed_in_one_line(command, capsys, monkeypatch):
    def main(options):
        raise UserError("too\n  long")

    command(main)
    assert entry.main(["list"]) == 1
    assert capsys.readouterr().err == "rnn-lab: too long\n"
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert entry.main(["list"]) == 1
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("RNN_LAB_DEBUG", "1")
    with pytest.raises(UserError):
        entry.main(["list"])


def test_an_interrupted_command_exits_with_130(command, capsys):
    def main(options):
        raise KeyboardInterrupt

    command(main)
    assert entry.main(["list"]) == 130
    assert capsys.readouterr().err == "rnn-lab: interrupted\n"


@pytest.mark.parametrize("status", [None, 0, 3])
def test_the_status_of_a_command_is_returned(command, status):
    command(lambda options: status)
    assert entry.main(["list"]) == (status or 0)


def test_a_closed_pipe_ends_a_command_silently():
    read, write = os.pipe()
    os.close(read)
    result = subprocess.run(
        [sys.executable, "-m", "rnn_lab", "list"], stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert result.stderr == b""
    assert result.returncode == 0


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.EROFS, "Read-only file system", "a/b"), "a/b: Read-only file system"),
        (OSError(errno.ENOSPC, "No space left on device"), "the output: No space left on device"),
    ],
)
def test_a_disk_that_cannot_be_written_is_reported_in_one_line(error, line, command, capfd):
    def main(options):
        raise error

    command(main)
    assert entry.main(["list"]) == 1
    assert capfd.readouterr().err == f"rnn-lab: {line}\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
def test_a_full_output_is_reported_in_one_line():
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "rnn_lab", "list"],
            stdout=full,
            stderr=-1,
            text=True,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr == "rnn-lab: the output: No space left on device\n"
