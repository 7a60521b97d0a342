"""Workers of a sweep are submitted once, shown while they are queued, and need valid options."""

import json
import os
import re
import shlex
from pathlib import Path

import pytest
from command_line import SIZES, error_of, run
from optuna.trial import TrialState

from rnn_lab.commands import _sweep_jobs
from rnn_lab.commands._sweep_plan import SweepPlan

pytestmark = pytest.mark.usefixtures("empty_folder")
FOLDER = Path("runs/SyntheticReviews/tune")
LINE = [
    *("sweep", "--model=TextClassifier", "--data=SyntheticReviews", SIZES[0], "--name=tune"),
    *("--space=space.yaml", "--trials=3"),
]
JOB = ["--slurm", "--time=4:00:00", "--at-once=8"]
FAKES = {"sbatch": "echo x >>submitted; echo 7", "squeue": "cat queue"}


@pytest.fixture(autouse=True)
def _slurm(empty_folder, tmp_path_factory, monkeypatch):
    """Put fake SLURM commands first on PATH."""
    folder = tmp_path_factory.mktemp("bin")
    for name, code in FAKES.items():
        (folder / name).write_text(f"#!/bin/sh\n{code}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    Path("queue").touch()
    Path("space.yaml").write_text("model.hidden_dim: [4, 8]\n")


def test_a_dry_run_prints_the_script_of_the_workers_and_writes_nothing(capsys):
    before = sorted(Path().rglob("*"))
    assert run(*LINE, *JOB, "--partition", "gpu", "--setup", "module load x", "--dry_run") == 0
    script = capsys.readouterr().out
    assert sorted(Path().rglob("*")) == before
    directives = re.findall(r"^#SBATCH --(\S+)", script, re.MULTILINE)
    expected = {"array=0-2", "ntasks-per-node=1", "time=4:00:00", "partition=gpu", "requeue"}
    assert expected <= {*directives}  # three trials need no more than three workers
    assert "module load x\n" in script
    command = script.partition("-m rnn_lab ")[2].partition("status=")[0]
    words = shlex.split(command.replace("\\\n", ""))
    assert words == ["sweep", "--space=space.yaml", "--trials=3", "--jobs=1", *LINE[1:5]]


def test_the_same_command_submits_workers_shows_them_and_reports(capsys, monkeypatch):
    assert run(*LINE, *JOB) == 0
    assert f"job 7: 3 workers for {FOLDER}" in capsys.readouterr().out
    assert json.loads((FOLDER / "workers.json").read_text())["job"] == "7"
    Path("queue").write_text("7_0 RUNNING None\n7_1 PENDING Priority\n7_2 PENDING Priority\n")
    assert run(*LINE, *JOB) == 0
    shown = capsys.readouterr().out
    assert "job 7: workers 2 pending (Priority), 1 running; scancel 7 ends them" in shown
    assert shown.split()[:2] == ["trial", "state"]
    Path("queue").write_text("")
    assert run(*LINE, *JOB) == 0  # the workers were cancelled
    assert Path("submitted").read_text() == "x\nx\n"

    plans = []
    monkeypatch.setattr(_sweep_jobs, "report", lambda plan, output: plans.append(plan))
    monkeypatch.setattr(SweepPlan, "study", _Ended())
    assert run(*LINE, *JOB) == 0
    assert len(plans) == 1
    assert Path("submitted").read_text() == "x\nx\n"


class _Ended:
    """A study whose trials have ended."""

    folder = FOLDER

    def trials(self):
        return [type("Trial", (), {"number": n, "state": TrialState.COMPLETE}) for n in range(3)]


def test_a_queue_that_cannot_be_read_is_named(capsys, monkeypatch):
    FOLDER.mkdir(parents=True)
    (FOLDER / "workers.json").write_text('{"job": "7"}')
    monkeypatch.setattr(_sweep_jobs, "queue", lambda jobs: None)
    message = "squeue failed: whether job 7 is training runs/SyntheticReviews/tune is unknown"
    assert message in error_of(capsys, *LINE, *JOB)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--slurm"], "--slurm needs --time, the wall-time limit of a worker"),
        ([*JOB, "--jobs=2"], "--jobs trains trials on this computer: give --at-once with --slurm"),
        (["--time=1:00:00"], "--time needs --slurm"),
        (["--dry-run"], "--dry-run needs --slurm"),
        (["--at-once=2"], "--at-once needs --slurm"),
        ([*JOB, "--at-once=0"], "--at-once must be above 0, got 0"),
        ([*JOB, "--sbatch", "--array=0-3"], "each worker of a sweep is one process"),
        ([*JOB, "--time=soon"], "--time=soon is no time limit"),
        ([*JOB, "--trainer.accelerator=gpu"], "accelerator=gpu contradicts --gpus-per-node=0"),
    ],
    ids=["time", "jobs", "alone", "dry", "at-once", "zero", "sbatch", "limit", "accelerator"],
)
def test_mistakes_cost_one_line_and_submit_nothing(options, message, capsys):
    assert message in error_of(capsys, *LINE, *options)
    assert not Path("submitted").exists()
    assert not FOLDER.exists()


def test_without_sbatch_the_script_can_be_printed(capsys, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert "sbatch is not available: use --dry-run" in error_of(capsys, *LINE, *JOB)
    assert run(*LINE, *JOB, "--dry-run") == 0
