"""A failure while a Trainer runs is one line with the reason, once for all processes of a run."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
import torch
from command_line import error_of, run
from lightning.fabric.utilities.exceptions import MisconfigurationException

from rnn_lab.commands import _failures
from rnn_lab.commands._failures import FirstFailure, failures_named
from rnn_lab.errors import ProcessError, UserError
from rnn_lab.signals import Preempted

pytestmark = pytest.mark.usefixtures("empty_folder")
MODULES = """
import os
import signal
import torch
from lightning import LightningDataModule, LightningModule
from torch.utils.data import DataLoader
from rnn_lab.errors import UserError

class Rows(list):
    def __getitem__(self, i):
        if i == 13:
            raise KIND("row 13 is broken")
        return torch.ones(2)

class Data(LightningDataModule):
    def __init__(self, num_workers: int = 0, rows: int = 16):
        super().__init__()
        self.num_workers, self.rows = num_workers, Rows([0] * rows)
    def train_dataloader(self):
        return DataLoader(self.rows, batch_size=2, num_workers=self.num_workers)

class Model(LightningModule):
    def __init__(self, failing_rank: int = -1):
        super().__init__()
        self.failing_rank = failing_rank
        self.layer = torch.nn.Linear(2, 1)
    def training_step(self, batch, batch_idx):
        if batch_idx == 1 and self.global_rank == self.failing_rank:
            raise UserError("row 7 is broken")
        return self.layer(batch).square().mean()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
"""
FIT = [
    *("fit", "--trainer.accelerator=cpu", "--trainer.max_epochs=1", "--name=a"),
    *("--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"),
]


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Write a module with a model and data that fail late; return it as command-line options."""

    def write(kind="ValueError"):
        name = f"late_{kind.lower()}"
        (tmp_path / f"{name}.py").write_text(MODULES.replace("KIND", kind))
        return [f"--model={name}.Model", f"--data={name}.Data"]

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    return write


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("ValueError", "row 13 is broken (ValueError while loading data)"),
        ("UserError", "row 13 is broken"),
    ],
)
def test_a_broken_row_that_a_worker_finds_costs_one_line(kind, reason, modules, capsys):
    assert error_of(capsys, *FIT, *modules(kind), "--data.num_workers=1") == f"rnn-lab: {reason}"


def test_a_traceback_is_shown_for_debugging(modules, monkeypatch):
    monkeypatch.setenv("RNN_LAB_DEBUG", "1")
    with pytest.raises(UserError) as raised:
        run(*FIT, *modules("UserError"), "--data.num_workers=1")
    assert "Original Traceback" in str(raised.value.__cause__)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--model.failing_rank=1"], "row 7 is broken"),
        (["--data.rows=28"], "row 13 is broken (ValueError while loading data)"),
    ],
)
def test_an_error_of_one_process_costs_one_line_and_ends_the_others(options, reason, modules):
    two = ["--trainer.devices=2", "--trainer.strategy=ddp", "--data.num_workers=1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "rnn_lab", *FIT, *modules(), *two, "--data.rows=8", *options],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    try:
        _, errors = process.communicate(timeout=120)  # until all processes have closed the pipe
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 1
    lines = [line for line in errors.splitlines() if "rnn-lab:" in line]
    assert len(lines) == 1, errors
    assert lines[0].startswith(f"rnn-lab: {reason}")
    assert "Traceback" not in errors


def failing(error, is_here=None):
    """Return the error that a block ends with."""
    first = FirstFailure()
    first.is_here = is_here
    kind = type(error) if is_here is None else Exception
    with pytest.raises(kind) as raised, failures_named(first):
        raise error
    return raised.value


def test_defects_of_the_program_and_preemptions_are_passed_on():
    for error in (KeyError("x"), RuntimeError("shapes"), Preempted(15, "")):
        assert failing(error) is error


@pytest.mark.parametrize(
    "error",
    [
        MisconfigurationException("no GPU"),
        FileNotFoundError("no GPU"),
        RuntimeError("Early stopping conditioned on no GPU"),
    ],
)
def test_errors_of_the_user_keep_their_reason(error):
    with pytest.raises(UserError, match="no GPU"), failures_named(FirstFailure()):
        raise error


def test_only_the_first_process_that_fails_reports_it():
    reported, silent = (failing(UserError("row 7"), is_here) for is_here in (True, False))
    assert (reported.reported_here, silent.reported_here) == (True, False)
    assert not failing(KeyError("x"), is_here=False).reported_here
    assert isinstance(failing(KeyError("x"), is_here=True), KeyError)  # its traceback is shown
    assert isinstance(reported, ProcessError)


def test_a_lost_connection_to_a_process_that_was_killed_is_named(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    error = failing(RuntimeError("[gloo] Connection closed by peer"), is_here=True)
    assert str(error).startswith("another process of the run has ended")


def test_a_failure_is_not_the_first_if_the_process_that_counts_them_has_ended(monkeypatch):
    class Ended:
        def add(self, *_):
            raise torch.distributed.DistNetworkError("Connection reset")

    monkeypatch.setattr(_failures, "_get_default_store", Ended)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    first = FirstFailure()
    first.on_exception(None, None, Preempted(15, ""))
    assert first.is_here is None
    first.on_exception(None, None, UserError("row 7"))
    assert first.is_here is False
