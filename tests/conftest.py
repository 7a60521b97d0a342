"""What every test may lean on: no cache and no data root but its own, unless it asks for data."""

import os
import sys
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_cache(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Keep prepared corpora and downloads of a test away from the user's cache folder."""
    cache = str(tmp_path_factory.mktemp("cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    if sys.platform == "darwin":
        monkeypatch.setenv("HOME", cache)  # platformdirs may not ask XDG there
    if request.node.get_closest_marker("data") is None:
        monkeypatch.delenv("RNN_LAB_DATA", raising=False)


@pytest.fixture
def data_root() -> Path:
    """The folder of real datasets; where there is none the test is skipped, but not in CI."""
    root = os.environ.get("RNN_LAB_DATA")
    if root is None:
        reason = "RNN_LAB_DATA does not say where the real datasets lie"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return Path(root)
