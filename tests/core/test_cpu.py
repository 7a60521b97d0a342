"""The CPU is configured when asked, in every thread, and never by an import."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow  # each test starts a new process: the settings are process-wide

DENORMALS = """
import torch, rnn_lab, rnn_lab.nn
{call}
torch.set_num_threads(2)
print(int((torch.full((1_000_000,), 1e-30) * 1e-10).count_nonzero()))
"""
PAGES = """
import resource, torch, rnn_lab, rnn_lab.nn
{call}
torch.set_num_threads(1)

def new_pages(megabytes):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros(megabytes, 1 << 18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(new_pages(64), min(new_pages(64) for _ in range(4)))
"""
TRAINER = """
import torch, logging
logging.basicConfig(format="%(message)s")
torch.set_num_threads(2)
{before}
from lightning.pytorch import Trainer
import rnn_lab
from rnn_lab.datamodules import SyntheticReviews
trainer = Trainer(accelerator="cpu", max_steps=1, logger=False, barebones=True)
data = SyntheticReviews(train_size=8, valid_size=4, batch_size=4)
trainer.fit(rnn_lab.LSTMClassifier(data.vocab_size, 4, 4), data)
print((torch.full((1_000_000,), 1e-30) * 1e-10).count_nonzero().item())
"""
HIDE = """
import rnn_lab.core.cpu as cpu
cpu.find_openmp = lambda: None
"""
CALL = "rnn_lab.configure_cpu()"


def run(script: str, **variables: str) -> tuple[list[int], str]:
    """The numbers that a script prints, and what it logs."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RNN_LAB_")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment | variables, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [int(word) for word in done.stdout.split()], done.stderr


@pytest.mark.parametrize(("value", "survivors"), [("0", 0), ("1", 1_000_000)])
def test_denormals_are_flushed_in_every_thread_unless_the_environment_keeps_them(value, survivors):
    assert run(DENORMALS.format(call=CALL), RNN_LAB_KEEP_DENORMALS=value)[0] == [survivors]


def test_importing_layers_leaves_denormals_as_they_are():
    assert run(DENORMALS.format(call=""))[0] == [1_000_000]


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone is configured")
@pytest.mark.parametrize(
    ("call", "value", "reused"),
    [(CALL, "0", True), (CALL, "1", False), ("", "", False)],
)
def test_freed_memory_is_reused_only_when_configured(call, value, reused):
    (first, later), _ = run(PAGES.format(call=call), RNN_LAB_RETURN_MEMORY=value)
    assert (later < first / 10) == reused


@pytest.mark.parametrize("before", ["", "torch.rand(1000, 1000).mul(2)"])
def test_a_trainer_configures_every_thread_even_if_it_is_running(before):
    (survivors,), logged = run(TRAINER.format(before=before))
    assert survivors == 0
    assert "flush denormal" not in logged


def test_threads_that_cannot_be_configured_are_reported():
    script = TRAINER.replace("trainer = Trainer", HIDE + "trainer = Trainer")
    (survivors,), logged = run(script.format(before="torch.rand(1000, 1000).mul(2)"))
    assert survivors > 0
    assert "call rnn_lab.configure_cpu() before the first tensor operation" in logged
