"""Imports without garbage collections."""

import gc
import subprocess
import sys

import pytest

from rnn_lab.commands._loading import loading

IMPORT = """
import gc
from rnn_lab.commands._loading import loading
collections = []
gc.callbacks.append(lambda phase, info: collections.append(phase))
with loading("loading"):
    import torch
assert not collections and gc.isenabled()
frozen = gc.get_freeze_count()
assert frozen > 100_000
with loading("loading"):
    import torch.distributed.tensor
assert gc.get_freeze_count() <= frozen
"""


def failing_import():
    with loading("loading"):
        assert not gc.isenabled()
        raise ImportError


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_as_before_also_after_a_failed_import(enabled):
    assert gc.isenabled()
    if not enabled:
        gc.disable()
    try:
        with pytest.raises(ImportError):
            failing_import()
        assert gc.isenabled() == enabled
    finally:
        gc.enable()


def test_objects_of_a_process_that_has_imported_torch_are_not_frozen():
    import torch  # noqa: F401

    frozen = gc.get_freeze_count()
    with loading("loading"):
        pass
    assert gc.get_freeze_count() <= frozen


@pytest.mark.slow
def test_the_first_import_of_torch_runs_no_collection_and_is_frozen():
    subprocess.run([sys.executable, "-c", IMPORT], check=True)
