"""Fixtures for tests of the command line."""

import warnings

import pytest
from command_line import REVIEWS, SIZES, run


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    """Run the test in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RNN_LAB_RUN", raising=False)
    with warnings.catch_warnings():
        yield tmp_path


@pytest.fixture
def trained(empty_folder):
    assert run("fit", *REVIEWS, *SIZES, "--name=a") == 0
