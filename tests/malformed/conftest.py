"""Fixtures for tests of damaged input."""

import pytest
from malformed import GOOD, fit


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Create a folder with good files, a working directory and a run for each kind of file."""
    folder = tmp_path_factory.mktemp("malformed")
    for name in ("good", "work", "bad"):
        (folder / name).mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.chdir(folder / "work")
        for name, content in GOOD.items():
            file = folder / "good" / name
            file.write_bytes(content)
            if name not in ("a.tsv", "a.jsonl", "a.txt"):
                result = fit(file, name, f"--trainer.default_root_dir=../{name}")
                assert result == (0, [])
    return folder


@pytest.fixture(autouse=True)
def _working_directory(folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.chdir(folder / "work")
