"""Freed memory is kept, unless the environment says otherwise."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import resource
import torch
import rnn_lab.nn
torch.set_num_threads(1)

def new_pages(megabytes):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros(megabytes, 1 << 18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(new_pages(64), min(new_pages(64) for _ in range(4)))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is told")
@pytest.mark.parametrize(
    ("give_back", "kept"), [(None, True), ("", True), ("0", True), ("1", False)]
)
def test_importing_keeps_freed_memory_unless_told_to_give_it_back(
    give_back: str | None, kept: bool
) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "RNN_LAB_RETURN_MEMORY"}
    if give_back is not None:
        environment["RNN_LAB_RETURN_MEMORY"] = give_back
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
    )
    first, later = map(int, run.stdout.split())
    assert (later < first / 10) == kept
