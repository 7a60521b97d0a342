"""Denormals are flushed in every thread, unless the environment says otherwise."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import torch
import rnn_lab.nn
torch.set_num_threads(2)
tiny = torch.full((1_000_000,), 1e-30)
print(int((tiny * 1e-10).count_nonzero()))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keep", "survivors"), [(None, 0), ("", 0), ("0", 0), ("1", 1_000_000), ("yes", 1_000_000)]
)
def test_importing_flushes_every_thread_unless_told_to_keep(
    keep: str | None, survivors: int
) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "RNN_LAB_KEEP_DENORMALS"}
    if keep is not None:
        environment["RNN_LAB_KEEP_DENORMALS"] = keep
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
    )
    assert int(run.stdout) == survivors
