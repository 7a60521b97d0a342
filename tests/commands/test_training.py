"""Exit statuses of commands that use the Trainer, and ranks of processes."""

import signal

import pytest

from rnn_lab import signals
from rnn_lab.commands import _cli
from rnn_lab.commands._training import process_rank, run

RANKS = ("RANK", "SLURM_PROCID", "LOCAL_RANK")


@pytest.fixture(autouse=True)
def _no_ranks(monkeypatch):
    for name in (*RANKS, "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def preempted(monkeypatch):
    def main(args):
        assert args == ["fit", "--model=PackedLSTM"]
        raise signals.Preempted(signal.SIGUSR1, "a.ckpt")

    monkeypatch.setattr(_cli, "main", main)


def test_the_rank_is_the_first_variable_that_is_set(monkeypatch):
    assert process_rank(*RANKS) == 0
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert process_rank(*RANKS) == 2
    monkeypatch.setenv("RANK", "3")
    assert process_rank(*RANKS) == 3


def test_a_preempted_command_exits_with_the_number_of_the_signal(preempted, capsys):
    assert run("fit", ["--model=PackedLSTM"]) == 128 + signal.SIGUSR1
    assert "a.ckpt" in capsys.readouterr().err


def test_only_the_main_process_reports_a_preemption(preempted, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    assert run("fit", ["--model=PackedLSTM"]) == 0
    assert capsys.readouterr().err == ""


def test_a_command_that_succeeds_exits_with_zero_and_restores_the_signal_handlers(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    handlers = []
    monkeypatch.setattr(
        _cli, "main", lambda args: handlers.append(signal.getsignal(signal.SIGTERM))
    )
    assert run("test", ["--ckpt_path=a.ckpt"]) == 0
    assert handlers != [before]
    assert signal.getsignal(signal.SIGTERM) is before
