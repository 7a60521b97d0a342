"""`rnn-lab kernels`: build and status."""

from pathlib import Path

import pytest

from rnn_lab.__main__ import main
from rnn_lab.commands import kernels
from rnn_lab.errors import UserError
from rnn_lab.nn.native.library import Status


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (Status(None, "they are not built"), "plain PyTorch: they are not built"),
        (Status(Path("a/kernels.so"), ""), "compiled kernels: a/kernels.so"),
    ],
)
def test_the_status_names_the_library_or_the_reason(status, line, monkeypatch, capsys):
    monkeypatch.setattr(kernels, "find", lambda: status)
    assert main(["kernels", "status"]) == 0
    assert capsys.readouterr().out == f"{line}\n"


def test_a_build_prints_the_library(monkeypatch, capsys):
    monkeypatch.setattr(kernels, "build", lambda compiler: Path(f"{compiler}/kernels.so"))
    assert main(["kernels", "build", "--compiler=cc"]) == 0
    assert capsys.readouterr().out == "cc/kernels.so\n"


def test_an_error_is_one_line(monkeypatch, capsys):
    def fail(_: str | None) -> Path:
        raise UserError("there is no C++ compiler")

    monkeypatch.setattr(kernels, "build", fail)
    assert main(["kernels", "build"]) == 1
    assert capsys.readouterr().err == "rnn-lab: there is no C++ compiler\n"


def test_an_unknown_action_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["kernels", "burn"])
    assert "invalid choice: 'burn'" in capsys.readouterr().err
