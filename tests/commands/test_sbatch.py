"""Batch scripts are checked, written and submitted, and errors keep the reason."""

import os
from pathlib import Path

import pytest

from rnn_lab.commands._sbatch import check_syntax, require_sbatch, submit_script, write_script
from rnn_lab.errors import UserError


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """Create a fake `sbatch`, the only command on PATH besides those of the system."""

    def make(code):
        (tmp_path / "sbatch").write_text(f"#!/bin/sh\n{code}\n")
        (tmp_path / "sbatch").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")

    return make


def test_a_computer_without_sbatch_is_named(monkeypatch, tmp_path, sbatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"sbatch is not available: .* or fit to train without"):
        require_sbatch("fit")
    sbatch("true")
    require_sbatch("fit")


def test_the_job_id_comes_without_the_name_of_the_cluster(tmp_path, sbatch):
    sbatch("echo '7;lab'")
    assert submit_script(write_script(tmp_path / "a/b/submit.sh", "true\n")) == "7"
    assert (tmp_path / "a/b/submit.sh").read_text() == "true\n"


def test_a_refused_script_is_removed_and_the_reason_shown(tmp_path, sbatch):
    sbatch("echo invalid partition >&2; exit 1")
    with pytest.raises(UserError, match="invalid partition"):
        submit_script(write_script(tmp_path / "a/submit.sh", "true\n"))
    assert not (tmp_path / "a").exists()


def test_a_script_that_cannot_be_written_is_named(tmp_path):
    Path(tmp_path / "a").touch()
    with pytest.raises(UserError, match=r"a/submit\.sh cannot be written: "):
        write_script(tmp_path / "a/submit.sh", "true\n")


def test_invalid_bash_is_refused():
    check_syntax("echo 'a b'\n")
    with pytest.raises(UserError, match="the script is not valid bash, check --setup: "):
        check_syntax("echo 'a\n")
