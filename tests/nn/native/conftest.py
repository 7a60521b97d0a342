"""A compiled library, which is built once for all processes of a test run."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rnn_lab.errors import UserError
from rnn_lab.nn.native import library
from rnn_lab.nn.native.build import build


@pytest.fixture(scope="session")
def library_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of the library; without a compiler the test is skipped, except in CI."""
    if library.find().path is not None:  # of RNN_LAB_NATIVE
        return library.find().path
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # that of all processes
    try:
        return build(folder=folder / "kernels")
    except UserError as error:
        if os.environ.get("CI") == "true" or "no C++ compiler" not in str(error):
            raise
        pytest.skip(str(error))


@pytest.fixture
def compiled(library_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Use the compiled kernels in a test."""
    with chosen(str(library_path), monkeypatch):
        assert library.load() is not None
        yield library_path


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Look for kernels in the cache of the test, whatever the environment says."""
    with chosen("", monkeypatch):
        yield


class chosen:
    """Set `RNN_LAB_NATIVE` and forget what was found before, within a block and after it."""

    def __init__(self, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.value, self.monkeypatch = value, monkeypatch

    def __enter__(self) -> None:
        self.monkeypatch.setenv(library.VARIABLE, self.value)
        self._forget()

    def __exit__(self, *_: object) -> None:
        self.monkeypatch.undo()
        self._forget()

    def _forget(self) -> None:
        library.find.cache_clear()
        library.load.cache_clear()
