"""Which runs there are and how they are doing, with a fake queue of SLURM."""

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
def _in_an_empty_folder_without_slurm(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def slurm(*lines, status=0, error=""):
    """A squeue that knows these jobs, and notes what it was asked."""
    squeue = Path("bin/squeue")
    squeue.parent.mkdir(exist_ok=True)
    told = "".join(f"echo {line}\n" for line in lines)
    code = f'echo "$@" >asked\n{told}echo "{error}" >&2\nexit {status}\n'
    squeue.write_text(f"#!/bin/bash\n{code}")
    squeue.chmod(0o755)


def run(name, text=None, submitted=None, **facts):
    """Make a run that wrote these facts, and had this job submitted."""
    folder = Path("runs", name)
    folder.mkdir(parents=True, exist_ok=True)
    if facts or text is not None:
        (folder / "state.json").write_text(text or json.dumps({**RUNNING, **facts}))
    if submitted:
        (folder / "submit.json").write_text(json.dumps({"job": submitted, "submitted": NOW}))
    return folder


@pytest.fixture(autouse=True)
def _now(monkeypatch):
    monkeypatch.setattr("rnn_lab.commands.status.time.time", lambda: NOW)


def status(capsys, *words):
    assert main(["status", *words]) == 0
    return capsys.readouterr().out


def states(capsys, *words):
    found = json.loads(status(capsys, *words, "--json"))
    return {entry["run"].removeprefix("runs/"): entry["state"] for entry in found}


def state(capsys):
    (found,) = states(capsys).values()
    return found


@pytest.fixture
def dead():
    """The number of a process that is over."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_table_has_a_row_for_each_run(capsys):
    run("texts/a", step=12)
    run("texts/b", state="failed", reason="out of memory", best=None, heartbeat=NOW - 7300)
    head, a, b = (" ".join(line.split()) for line in status(capsys).splitlines())
    assert head == "run state step epoch best last heartbeat job"
    assert a == "texts/a running 12 2/5 val/loss 0.25 1 min ago -"
    assert b == "texts/b failed 12 2/5 - 2 h ago - out of memory"


@pytest.mark.parametrize("written", ["running", "finished", "preempted", "interrupted", "failed"])
def test_without_better_knowledge_a_run_is_what_it_wrote(written, capsys):
    run("e/a", state=written)
    assert state(capsys) == written


def test_a_process_of_this_machine_lives_or_was_killed(capsys, dead):
    here = {"host": os.uname().nodename}
    run("e/alive", **here, pid=os.getpid(), began=NOW)
    run("e/dead", **here, pid=dead)
    run("e/preempted", **here, pid=dead, state="preempted")
    run("e/another", **here, pid=os.getpid(), began=NOW - 1e8)  # a later process, of this number
    wanted = {
        "e/alive": "running",
        "e/another": "killed",
        "e/dead": "killed",
        "e/preempted": "preempted",
    }
    assert states(capsys) == wanted


@pytest.mark.skipif(not Path("/proc").exists(), reason="zombies are told apart by /proc")
def test_a_process_that_nobody_has_buried_is_dead(capsys):
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    run("e/a", host=os.uname().nodename, pid=process.pid, began=time.time())
    assert state(capsys) == "killed"
    process.wait()


@pytest.mark.parametrize(
    ("queue", "facts", "wanted"),
    [
        ("7 PENDING", {"state": "preempted"}, "queued"),
        ("7 PENDING", {"state": "running"}, "queued"),
        ("7 PENDING", {}, "queued"),
        ("7 RUNNING", {}, "starting"),
        ("7 RUNNING", {"state": "preempted"}, "starting"),
        ("7 RUNNING", {"state": "running"}, "running"),
        ("7 RUNNING", {"state": "finished"}, "finished"),
        ("7 RUNNING", {"state": "running", "job": "6"}, "starting"),
        ("7 COMPLETING", {"state": "preempted"}, "preempted"),
        ("", {"state": "running"}, "lost"),
        ("", {"state": "preempted"}, "preempted"),
        ("", {"state": "finished"}, "finished"),
        ("", {}, "lost"),
    ],
)
def test_slurm_knows_better(queue, facts, wanted, capsys):
    run("e/a", submitted="7", **({"job": "7", **facts} if facts else {}))
    slurm(*[queue] * bool(queue))
    assert state(capsys) == wanted


def test_slurm_is_asked_once_for_all_jobs(capsys):
    run("e/a", submitted="7")
    run("e/b", submitted="8_1")
    slurm("7 PENDING", "8_1 RUNNING")
    assert states(capsys) == {"e/a": "queued", "e/b": "starting"}
    assert "--jobs=7,8_1" in Path("asked").read_text()


@pytest.mark.parametrize(
    ("error", "wanted"), [("Invalid job id specified", "lost"), ("no controller", "running")]
)
def test_a_queue_that_does_not_answer_tells_nothing(error, wanted, capsys):
    run("e/a", submitted="7", job="7")
    slurm(status=1, error=error)
    assert state(capsys) == wanted


def test_a_submitted_run_is_listed_without_slurm_too(capsys):
    run("e/a", submitted="7")
    assert state(capsys) == "submitted"
    assert " 7" in status(capsys)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"state": 5}', "\x00"])
@pytest.mark.parametrize("job", [None, "7"])
def test_a_broken_state_is_a_question_mark(text, job, capsys):
    run("e/a", text=text or " ", submitted=job)
    assert state(capsys) == "?"
    assert "?" in status(capsys)


def test_a_run_from_before_is_told_by_its_metrics(capsys):
    folder = run("e/a")
    rows = ["step,epoch,val/loss", "3,0,0.5", "7,1,0.25", "11,2,0.75", "12,3,"]
    (folder / "metrics.csv").write_text("\n".join(rows))
    run("e/b/checkpoints")
    (entry, other) = json.loads(status(capsys, "--json"))
    assert entry["heartbeat"] == (folder / "metrics.csv").stat().st_mtime
    assert [entry[k] for k in ("state", "step", "epoch", "best")] == ["?", 12, 3, 0.25]
    assert (other["run"], other["state"], other["step"]) == ("runs/e/b", "?", None)
    (folder / "metrics.csv").write_text("step,epoch\nmany\n")
    assert states(capsys) == {"e/a": "?", "e/b": "?"}


def test_runs_are_found_below_any_folder(capsys):
    run("e/a", step=1)
    run("f/b", step=1)
    Path("runs/e/notes").mkdir()
    Path("runs").rename("mine")
    assert states(capsys, "mine").keys() == {"mine/e/a", "mine/f/b"}
    assert states(capsys, "mine/e/a").keys() == {"mine/e/a"}
    assert states(capsys, "mine", "mine/e", "--experiment=e").keys() == {"mine/e/a"}
    assert states(capsys) == {}
    assert status(capsys) == "no runs here\n"


def test_a_folder_that_is_not_there_is_refused(capsys):
    assert main(["status", "nowhere"]) == 1
    assert capsys.readouterr().err == "rnn-lab: nowhere is no folder\n"


def test_nothing_heavy_is_imported():
    code = """
import sys
from rnn_lab.__main__ import main
assert main(["status"]) == 0
assert not {"torch", "lightning", "numpy", "yaml", "jsonargparse"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
