"""The check of a GPU runs, on a CPU, and reports what fails."""

import importlib.util
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="module")
def check():
    spec = importlib.util.spec_from_file_location("check", Path(__file__).with_name("check.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_everything_passes_on_the_cpu(check, capsys):
    status = check.main(["--device", "cpu", "--quick"])
    table = capsys.readouterr().out
    assert status == 0, table
    assert "model LSTMClassifier" in table
    assert table.splitlines()[-1].endswith("all passed")


def test_a_wrong_number_fails_its_row_and_the_verdict(check, capsys, monkeypatch):
    def wrong():
        return str(check.compare(torch.tensor([1.0, 2.1]), torch.tensor([1.0, 2.0]), 0.01))

    rows = [("good", lambda: "fine"), ("wrong", wrong)]
    monkeypatch.setattr(check, "checks", lambda device, quick: rows)
    assert check.main(["--device", "cpu"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["good", "ok", "fine"]
    assert "FAILED  AssertionError: relative error 5.0e-02, allowed 1e-02" in lines[1]
    assert lines[-1].endswith("FAILED: wrong")


def test_values_that_are_not_finite_are_errors(check):
    with pytest.raises(AssertionError, match="relative error nan"):
        check.compare(torch.tensor([torch.nan]), torch.tensor([1.0]), 0.1)
