"""Fixtures for all tests: each test has its own cache, and no data root unless it is marked."""

import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from tiny import TinyData, TinyTask

from rnn_lab.training import CSVMetricsLogger, OfflineWandbLogger, configure_loggers

# A shell that starts the tests in the background may let them ignore Ctrl-C, which some press.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Keep fixtures of modules, which begin before `_own_cache`, out of the cache of the user."""
    cache = tempfile.TemporaryDirectory(prefix="rnn-lab-cache-", ignore_cleanup_errors=True)
    config.add_cleanup(cache.cleanup)
    os.environ["XDG_CACHE_HOME"] = cache.name


@pytest.fixture(autouse=True)
def _own_cache(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Redirect prepared corpora and downloads to a temporary cache folder."""
    cache = str(tmp_path_factory.mktemp("cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    if sys.platform == "darwin":
        monkeypatch.setenv("HOME", cache)  # platformdirs may ignore XDG variables there
    if request.node.get_closest_marker("data") is None:
        monkeypatch.delenv("RNN_LAB_DATA", raising=False)


@pytest.fixture
def data_root() -> Path:
    """The folder of real datasets; without it the test is skipped, except in CI."""
    root = os.environ.get("RNN_LAB_DATA")
    if root is None:
        reason = "RNN_LAB_DATA, the folder of the real datasets, is not set"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return Path(root)


@pytest.fixture
def task() -> type[TinyTask]:
    torch.manual_seed(0)
    return TinyTask


@pytest.fixture
def data() -> type[TinyData]:
    return TinyData


@pytest.fixture
def make_trainer(tmp_path: Path):
    def make(folder="run", **options):
        defaults = dict(accelerator="cpu", enable_progress_bar=False, enable_model_summary=False)
        defaults |= dict(log_every_n_steps=1, default_root_dir=str(tmp_path / folder))
        trainer = Trainer(**(defaults | {"logger": CSVMetricsLogger()} | options))
        configure_loggers(trainer)
        return trainer

    return make


@pytest.fixture
def logged_tables(monkeypatch: pytest.MonkeyPatch) -> tuple[OfflineWandbLogger, list[Any]]:
    """A logger of W&B that sends nothing, and the tables that it is given: key, columns, rows."""
    tables: list[Any] = []
    for name in ("log_metrics", "log_graph", "log_hyperparams"):
        monkeypatch.setattr(OfflineWandbLogger, name, lambda *args, **options: None)
    monkeypatch.setattr(
        OfflineWandbLogger,
        "log_table",
        lambda self, key, columns, data: tables.append((key, columns, data)),
    )
    return OfflineWandbLogger(mode="disabled"), tables
