"""Which library a process uses: what cannot be trusted or loaded leads to plain PyTorch."""

import logging
import os
from pathlib import Path

import pytest

from rnn_lab.io.cache import get_or_build
from rnn_lab.nn.native import library
from rnn_lab.nn.native.library import LIBRARY, cache_folder, cache_key, find, load

pytestmark = pytest.mark.usefixtures("unset")


def entry(key: dict[str, str] | None = None, content: bytes = b"no library") -> Path:
    """Write an entry of the cache that cannot be loaded."""
    cache_folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    write = lambda folder: (folder / LIBRARY).write_bytes(content)  # noqa: E731
    return get_or_build(cache_folder(), key or cache_key(), write)


def test_without_a_library_nothing_is_said(caplog):
    assert load() is None
    assert find().reason == "they are not built"
    cache_folder().mkdir(parents=True)
    find.cache_clear()
    assert find().reason == "they are not built"
    assert not caplog.records


def test_zero_turns_the_kernels_off(monkeypatch, caplog):
    entry()
    monkeypatch.setenv(library.VARIABLE, "0")
    assert load() is None
    assert find().reason == "RNN_LAB_NATIVE=0"
    assert not caplog.records


def reasons(caplog) -> list[str]:
    """Return the reasons of all messages, after a library was looked for twice."""
    with caplog.at_level(logging.WARNING):
        assert load() is None
        assert load() is None
    start = "the compiled kernels are not used: "
    assert all(record.getMessage().startswith(start) for record in caplog.records)
    return [record.getMessage().removeprefix(start) for record in caplog.records]


def test_a_library_of_other_sources_is_reported_once(caplog):
    entry({**cache_key(), "sources": "before an upgrade"})
    built = "they were built for another version of rnn_lab or another CPU"
    assert reasons(caplog) == [f"{built}: run rnn-lab kernels build"]


def test_a_damaged_library_is_not_loaded(caplog):
    path = entry() / LIBRARY
    path.write_bytes(path.read_bytes()[:5])
    assert reasons(caplog) == [f"{LIBRARY} has 5 bytes, expected 10"]


def test_a_file_that_is_no_library_is_not_loaded(caplog):
    path = entry() / LIBRARY
    (reason,) = reasons(caplog)
    assert reason.startswith(f"{path} cannot be loaded: ")


def test_a_folder_of_another_user_is_refused(monkeypatch, caplog):
    entry()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert reasons(caplog) == [f"{cache_folder()} belongs to another user"]


@pytest.mark.parametrize("inner", [False, True])
def test_a_folder_that_others_can_write_is_refused(caplog, inner):
    path = entry()
    folder = path if inner else cache_folder()
    folder.chmod(0o777)
    assert reasons(caplog) == [f"{folder} can be written by other users"]


def test_the_key_depends_on_sources_and_processor(tmp_path, monkeypatch):
    before = cache_key()
    (tmp_path / "a.cpp").write_text("int a;")
    monkeypatch.setattr(library, "SOURCES", tmp_path)
    assert cache_key() != before
    assert cache_key().keys() == before.keys() == {"sources", "system", "processor"}
