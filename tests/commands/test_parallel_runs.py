"""Runs are trained in processes of their own, so many at a time, and end on signals."""

import json
import os
import signal
import sys
import threading
import time

import pytest

from rnn_lab.commands._parallel_runs import (
    LocalRun,
    requeue_if_preempted,
    shared_environment,
    train_all,
)
from rnn_lab.training import slurm

TRAIN = """
import json, os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
def say(state, **more):
    fields = {"state": state, "step": 1, "epoch": 1, "host": "h", "pid": os.getpid(), "job": None}
    fields |= {"began": time.time(), "heartbeat": time.time(), **more}
    part = folder / "part"
    part.write_text(json.dumps(fields))
    part.replace(folder / "state.json")
say("running")
"""
FINISH = 'say("finished", threads=os.environ["OMP_NUM_THREADS"])'
WAIT = """
import signal
def stop(signum, frame):
    say("preempted")
    sys.exit(128 + signum)
signal.signal(signal.SIGTERM, stop)
(folder / "ready").touch()
while True:
    time.sleep(0.05)
"""
FAIL = 'print("rnn-lab: the reason", file=sys.stderr); sys.exit(1)'


def local_run(folder, code=FINISH, finished=False):
    return LocalRun(folder, [sys.executable, "-c", TRAIN + code, str(folder)], finished, "new")


def state(run):
    return json.loads((run.folder / "state.json").read_text())


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_all_runs_are_trained_and_their_states_shown(tmp_path, capsys):
    runs = [local_run(tmp_path / name) for name in "abc"]
    assert train_all(runs, 2) == 0
    assert [state(run)["state"] for run in runs] == ["finished"] * 3
    assert {state(run)["threads"] for run in runs} == {"1"}
    shown = capsys.readouterr().err
    assert all(f"{run.folder}: finished" in shown for run in runs)


def test_cores_are_shared_if_the_user_has_not_set_threads(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    run = local_run(tmp_path / "a")
    assert train_all([run], 3) == 0
    assert state(run)["threads"] == "2"


def test_finished_runs_are_not_started(tmp_path):
    (tmp_path / "a").mkdir()
    run = local_run(tmp_path / "a", FAIL, finished=True)
    assert train_all([run], 1) == 0
    assert run.process is None


def test_a_failure_does_not_stop_the_others(tmp_path, capsys):
    bad, silent, good = (
        local_run(tmp_path / name, code)
        for name, code in (("a", FAIL), ("b", "os._exit(3)"), ("c", FINISH))
    )
    assert train_all([bad, silent, good], 1) == 1
    errors = [e for e in capsys.readouterr().err.splitlines() if e.startswith("rnn-lab:")]
    assert errors == [
        f"rnn-lab: {bad.folder} failed: the reason, see {bad.log}",
        f"rnn-lab: {silent.folder} failed: exit status 3, see {silent.log}",
    ]
    assert state(good)["state"] == "finished"


def test_a_signal_ends_running_runs_and_starts_no_others(tmp_path, capsys):
    first, second = local_run(tmp_path / "a", WAIT), local_run(tmp_path / "b")

    def interrupt():
        while not (first.folder / "ready").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert train_all([first, second], 1) == 128 + signal.SIGTERM
    thread.join()
    assert state(first)["state"] == "preempted"
    assert second.process is None
    assert "rnn-lab: interrupted: the same command resumes" in capsys.readouterr().err


def test_the_table_is_drawn_again_on_a_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((80, 24)))
    monkeypatch.setattr(sys.stderr, "fileno", lambda: 2)
    assert train_all([local_run(tmp_path / "a")], 1) == 0
    shown = capsys.readouterr().err
    assert "\x1b[2F\x1b[J" in shown
    assert "finished" in shown.rpartition("\x1b[J")[2]


def test_runs_within_a_job_know_its_id_and_leave_requeueing_to_their_parent(monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"):
        monkeypatch.setenv(name, "7")
    environment = shared_environment(1)
    assert [name for name in environment if name.startswith("SLURM_")] == ["SLURM_JOB_ID"]
    calls = []
    monkeypatch.setattr(slurm, "_scontrol", lambda *args: calls.append(args) or "JobState=RUNNING")
    for status in (0, 1, 128 + signal.SIGINT):
        requeue_if_preempted(status)
    assert calls == []
    requeue_if_preempted(128 + signal.SIGUSR1)
    assert calls[-1] == ("requeue", slurm.job_id())
    calls.clear()
    monkeypatch.setattr(os, "environ", environment)
    requeue_if_preempted(128 + signal.SIGUSR1)
    assert calls == []
