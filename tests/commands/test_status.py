"""The states of runs, with a fake SLURM queue."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rnn_lab.__main__ import main

NOW = time.time()
RUNNING = {
    "state": "running", "reason": None, "step": 12, "epoch": 2, "max_epochs": 5,
    "monitor": "val/loss", "best": 0.25, "host": "elsewhere", "pid": 1, "job": None,
    "began": NOW - 100, "heartbeat": NOW - 61,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _empty_working_directory_without_slurm(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def slurm(*lines, status=0, error=""):
    """Create a fake squeue that lists these jobs and records its arguments."""
    squeue = Path("bin/squeue")
    squeue.parent.mkdir(exist_ok=True)
    output = "".join(f"echo {line}\n" for line in lines)
    code = f'echo "$@" >arguments\n{output}echo "{error}" >&2\nexit {status}\n'
    squeue.write_text(f"#!/bin/bash\n{code}")
    squeue.chmod(0o755)


def run(name, text=None, submitted=None, **facts):
    """Create a run with this state file and this submitted job."""
    folder = Path("runs", name)
    folder.mkdir(parents=True, exist_ok=True)
    if facts or text is not None:
        (folder / "state.json").write_text(text or json.dumps({**RUNNING, **facts}))
    if submitted:
        log = os.path.relpath(f"runs/logs/slurm-{submitted}.log", folder)
        submission = {"job": submitted, "submitted": NOW, "log": log}
        (folder / "submit.json").write_text(json.dumps(submission))
    return folder


def log_of(job):
    path = Path(f"runs/logs/slurm-{job}.log")
    path.parent.mkdir(exist_ok=True)
    path.touch()
    return path


@pytest.fixture(autouse=True)
def _now(monkeypatch):
    monkeypatch.setattr("rnn_lab.commands._status_table.time.time", lambda: NOW)


def status(capsys, *args):
    assert main(["status", *args]) == 0
    return capsys.readouterr().out


def states(capsys, *args):
    runs = json.loads(status(capsys, *args, "--json"))
    return {entry["run"].removeprefix("runs/"): entry["state"] for entry in runs}


def state(capsys):
    (only,) = states(capsys).values()
    return only


@pytest.fixture
def dead_pid():
    """Return the PID of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_table_has_a_row_for_each_run(capsys):
    run("texts/a", step=12)
    run("texts/b", state="failed", reason="out of memory", best=None, heartbeat=NOW - 7300)
    head, a, b = (" ".join(line.split()) for line in status(capsys).splitlines())
    assert head == "run state step epoch best test last heartbeat job"
    assert a == "texts/a running 12 2/5 val/loss 0.2500 - 1 min ago -"
    assert b == "texts/b failed 12 2/5 - - 2 h ago - out of memory"


@pytest.mark.parametrize("written", ["running", "finished", "preempted", "interrupted", "failed"])
def test_by_default_the_state_is_the_one_written_by_the_run(written, capsys):
    run("e/a", state=written)
    assert state(capsys) == written


def test_a_local_process_is_running_or_was_killed(capsys, dead_pid):
    here = {"host": os.uname().nodename}
    run("e/alive", **here, pid=os.getpid(), began=NOW)
    run("e/dead", **here, pid=dead_pid)
    run("e/preempted", **here, pid=dead_pid, state="preempted")
    run("e/another", **here, pid=os.getpid(), began=NOW - 1e8)  # a later process with this PID
    expected = {
        "e/alive": "running",
        "e/another": "killed",
        "e/dead": "killed",
        "e/preempted": "preempted",
    }
    assert states(capsys) == expected


@pytest.mark.skipif(not Path("/proc").exists(), reason="zombies are detected through /proc")
def test_a_zombie_process_counts_as_killed(capsys):
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    run("e/a", host=os.uname().nodename, pid=process.pid, began=time.time())
    assert state(capsys) == "killed"
    process.wait()


@pytest.mark.parametrize(
    ("queue", "facts", "expected"),
    [
        ("7 PENDING", {"state": "preempted"}, "queued"),
        ("7 PENDING", {"state": "running"}, "queued"),
        ("7 PENDING", {}, "queued"),
        ("7 PENDING", {"state": "finished"}, "finished"),  # a trial of a requeued worker
        ("7 PENDING", {"state": "pruned"}, "pruned"),
        ("7 PENDING", {"state": "finished", "job": "6"}, "queued"),
        ("7 RUNNING", {}, "starting"),
        ("7 RUNNING", {"state": "preempted"}, "starting"),
        ("7 RUNNING", {"state": "running"}, "running"),
        ("7 RUNNING", {"state": "finished"}, "finished"),
        ("7 RUNNING", {"state": "running", "job": "6"}, "starting"),
        ("7 COMPLETING", {"state": "preempted"}, "preempted"),
        ("", {"state": "running"}, "lost"),
        ("", {"state": "preempted"}, "preempted"),
        ("", {"state": "finished"}, "finished"),
        ("", {}, "failed"),
    ],
)
def test_the_slurm_queue_takes_precedence(queue, facts, expected, capsys):
    run("e/a", submitted="7", **({"job": "7", **facts} if facts else {}))
    log_of(7)
    slurm(*[queue] * bool(queue))
    assert state(capsys) == expected


def described(capsys):
    (only,) = json.loads(status(capsys, "--json"))
    return only["state"], only["reason"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("7 PENDING Priority", ("queued", "Priority")),
        ("7 PENDING Nodes required are DOWN", ("queued", "Nodes required are DOWN")),
        ("7 PENDING None", ("queued", None)),
        ("7 PENDING", ("queued", None)),
        ("7 RUNNING None", ("starting", "SIGUSR1")),
    ],
)
def test_a_queued_run_shows_why_it_waits(line, expected, capsys):
    run("e/a", submitted="7", job="7", state="preempted", reason="SIGUSR1")
    slurm(line)
    assert described(capsys) == expected


def test_a_run_whose_job_ended_before_training_names_the_log(capsys):
    folder = run("e/a", submitted="7")
    slurm()
    assert described(capsys) == ("cancelled", "job 7 left the queue before it started")
    log = log_of(7)
    assert described(capsys) == ("failed", f"job 7 ended before training, see {log}")
    assert status(capsys).splitlines()[1].endswith(f"see {log}")
    run("e/a", state="finished", job="6")
    assert described(capsys) == ("finished", f"job 7 ended before training, see {log}")
    run("e/a", state="running", job="7")
    assert described(capsys) == ("lost", f"see {log}")
    run("e/a", state="finished", job=None, heartbeat=NOW + 1)  # trained without a job afterwards
    assert described(capsys) == ("finished", None)
    (folder / "state.json").write_text("{")
    assert described(capsys)[0] == "?"


def test_squeue_is_called_once_for_all_jobs(capsys):
    run("e/a", submitted="7")
    run("e/b", submitted="8_1")
    slurm("7 PENDING", "8_1 RUNNING")
    assert states(capsys) == {"e/a": "queued", "e/b": "starting"}
    assert "--jobs=7,8_1" in Path("arguments").read_text()


@pytest.mark.parametrize(
    ("error", "expected"),
    [("Invalid job id specified", "lost"), ("no controller", "running")],
)
def test_a_failing_squeue_is_ignored(error, expected, capsys):
    run("e/a", submitted="7", job="7")
    slurm(status=1, error=error)
    assert state(capsys) == expected


def test_a_submission_without_a_log_is_listed(capsys):
    (run("e/a") / "submit.json").write_text(json.dumps({"job": "7", "submitted": NOW}))
    slurm()
    assert described(capsys) == ("lost", None)


def test_a_submitted_run_is_listed_without_slurm(capsys):
    run("e/a", submitted="7")
    assert state(capsys) == "submitted"
    assert " 7" in status(capsys)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"state": 5}', "\x00"])
@pytest.mark.parametrize("job", [None, "7"])
def test_a_damaged_state_file_means_unknown(text, job, capsys):
    run("e/a", text=text or " ", submitted=job)
    assert state(capsys) == "?"
    assert "?" in status(capsys)


def test_a_run_without_state_file_is_described_by_its_metrics(capsys):
    folder = run("e/a")
    rows = ["step,epoch,val/loss", "3,1,0.5", "7,2,0.25", "11,3,0.75", "12,3,"]
    (folder / "metrics.csv").write_text("\n".join(rows))
    run("e/b/checkpoints")
    (first, second) = json.loads(status(capsys, "--json"))
    assert first["heartbeat"] == (folder / "metrics.csv").stat().st_mtime
    assert [first[k] for k in ("state", "step", "epoch", "best")] == ["?", 12, 3, 0.25]
    assert (second["run"], second["state"], second["step"]) == ("runs/e/b", "?", None)
    (folder / "metrics.csv").write_text("step,epoch\nmany\n")
    assert states(capsys) == {"e/a": "?", "e/b": "?"}


def test_the_score_of_a_test_is_that_of_the_newest_one(capsys):
    metrics = {"monitor": "val/loss", "test_metric": "test/loss", "test": 0.5}
    folder = run("e/a", state="finished", **metrics)
    assert json.loads(status(capsys, "--json"))[0]["test"] == 0.5
    scores = folder / "metrics.test.csv"
    scores.write_text("step,epoch,test/loss\n0,0,0.75\n0,0,0.25\n")
    os.utime(scores, (NOW, NOW))
    (folder / "checkpoints").mkdir()
    best = folder / "checkpoints/best.ckpt"
    best.write_bytes(b"")
    os.utime(best, (NOW - 10, NOW - 10))
    assert json.loads(status(capsys, "--json"))[0]["test"] == 0.25
    os.utime(best, (NOW + 10, NOW + 10))  # of an earlier checkpoint
    assert json.loads(status(capsys, "--json"))[0]["test"] == 0.5
    scores.write_text("\0damaged")
    assert json.loads(status(capsys, "--json"))[0]["test"] == 0.5


def test_runs_are_found_below_any_folder(capsys):
    run("e/a", step=1)
    run("f/b", step=1)
    Path("runs/e/notes").mkdir()
    Path("runs").rename("mine")
    assert states(capsys, "mine").keys() == {"mine/e/a", "mine/f/b"}
    assert states(capsys, "mine/e/a").keys() == {"mine/e/a"}
    assert states(capsys, "mine", "mine/e", "--experiment=e").keys() == {"mine/e/a"}
    assert states(capsys) == {}
    assert status(capsys) == "no runs found\n"


def test_a_missing_folder_is_reported(capsys):
    assert main(["status", "nowhere"]) == 1
    assert capsys.readouterr().err == "rnn-lab: nowhere is not a folder\n"


def test_only_light_modules_are_imported():
    code = """
import sys
from rnn_lab.__main__ import main
assert main(["status"]) == 0
assert not {"torch", "lightning", "numpy", "yaml", "jsonargparse"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
