"""Requeued runs on a real SLURM cluster of two nodes reach the weights of uninterrupted ones."""

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from private_slurm import Cluster, missing, private_slurm, wait

HOLDER = '''
"""Wait at a step, once, until the process receives a signal or is killed."""
import os, time
from pathlib import Path
from lightning.pytorch.callbacks import Callback
from rnn_lab import signals

class Holder(Callback):
    def on_train_batch_start(self, trainer, *_):
        mark = Path(trainer.default_root_dir, "held")
        if os.environ.get("HOLD") != str(trainer.global_step) or mark.exists():
            return
        if mark.parent.name not in os.environ.get("HELD", mark.parent.name):
            return
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            mark.write_text(str(os.getpid()))
        end = time.monotonic() + 120
        while not signals.received() and time.monotonic() < end:
            time.sleep(0.05)
'''
PROFILE = Path(__file__).parents[2] / "configs/trainer/slurm.yaml"
SMALL = ["--model=LSTMClassifier", "--model.embedding_dim=8", "--model.hidden_dim=8"]
DATA = ["--data=SyntheticReviews", "--data.train_size=80", "--data.valid_size=40"]
FIT = [
    *(*SMALL, *DATA, "--data.batch_size=8", "--model.optimizer=Adam"),
    *("--trainer.max_epochs=2", "--trainer.callbacks+=holder.Holder", "--experiment=drill"),
]
TWO = ["--nodes", "2", "--time", "10"]
STEPS = 10  # of the whole training

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def slurm() -> Iterator[Cluster]:
    """A private SLURM of two nodes; skips where it is not installed, but not in CI."""
    if absent := missing():
        reason = f"{', '.join(absent)} not installed (Debian: slurm-wlm)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, private_slurm(Path(folder)) as up:
        yield up


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working directory with the callback, shared by the tests of this file."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "holder.py").write_text(HOLDER)
    return folder


@pytest.fixture
def here(place, monkeypatch):
    enter(place, monkeypatch)


def enter(place: Path, patch: pytest.MonkeyPatch) -> None:
    """Work in a folder whose modules can be imported, without the kernels of the user's cache."""
    patch.chdir(place)
    patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    inherited = [path for path in [os.environ.get("PYTHONPATH")] if path]
    patch.setenv("PYTHONPATH", os.pathsep.join([str(place), *inherited]))
    for name in ("HOLD", "HELD"):
        patch.delenv(name, raising=False)


def submit(slurm: Cluster, name: str, *options: str, hold: int | None = None) -> str:
    """Submit a run; return its job id."""
    with pytest.MonkeyPatch.context() as patch:
        if hold is not None:
            patch.setenv("HOLD", str(hold))
        return started(slurm, "submit", *FIT, f"--name={name}", *options)


def started(slurm: Cluster, *line: str) -> str:
    """Run a command that submits a job; return its id, empty if it submits none."""
    names = ("HOLD", "HELD", "PYTHONPATH", "XDG_CACHE_HOME")
    inherited = {key: os.environ[key] for key in names if key in os.environ}
    finished = subprocess.run(
        [sys.executable, "-m", "rnn_lab", *line],
        env=slurm.environment | inherited,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    first, second, *_ = finished.stdout.split()
    return second.rstrip(":") if first == "job" else ""


def folder(name: str) -> Path:
    return Path("runs/drill", name)


def held(name: str) -> int:
    """Wait until a run waits at its step; return the process id."""
    wait(lambda: (folder(name) / "held").exists(), 120, lambda: logs(name))
    return int((folder(name) / "held").read_text())


def logs(name: str) -> str:
    """Return the logs of all jobs of a run."""
    return "\n".join(path.read_text() for path in sorted(folder(name).glob("slurm-*.log")))


def finished(slurm: Cluster, job: str, name: str) -> None:
    """Wait until a job has completed, with a checkpoint of the last step."""
    state = slurm.wait_for_end(job)
    assert state == "COMPLETED", logs(name)
    last = torch.load(folder(name) / "checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == STEPS


def restarts(slurm: Cluster, job: str) -> int:
    return int(slurm.about(job, "Restarts"))


def weights(name: str) -> dict[str, torch.Tensor]:
    return torch.load(folder(name) / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def whole(slurm, place):
    """Weights of an uninterrupted run."""
    with pytest.MonkeyPatch.context() as patch:
        enter(place, patch)
        finished(slurm, submit(slurm, "whole", *TWO), "whole")
        assert [path.name for path in Path("runs/drill").iterdir()] == ["whole"]
        return weights("whole")


def same(name: str, whole: dict[str, torch.Tensor]) -> None:
    torch.testing.assert_close(weights(name), whole, rtol=0, atol=0)


def test_a_preempted_run_is_requeued_and_resumed(slurm, here, whole):
    logger = ["--trainer.logger=OfflineWandbLogger", "--trainer.logger.mode=offline"]
    job = submit(slurm, "roomy", *TWO, *logger, hold=3)
    held("roomy")
    first = ["sbatch", "--parsable", "-p", "high", "-N2", "--exclusive", "--wrap=sleep 1"]
    other = slurm.run(*first, "--output=/dev/null")
    finished(slurm, job, "roomy")
    assert slurm.wait_for_end(other) == "COMPLETED"
    assert restarts(slurm, job) == 1
    assert "preempted by SIGUSR1" in logs("roomy")
    assert f"requeueing SLURM job {job}\n" in logs("roomy")
    same("roomy", whole)
    parts = sorted(folder("roomy").glob("wandb/offline-run-*/*.wandb"))
    assert len(parts) == 2
    assert all(b"drill" in part.read_bytes() for part in parts)  # the group of both


def test_a_run_at_its_time_limit_is_requeued_and_resumed(slurm, here, whole):
    job = submit(slurm, "timed", "--nodes=2", "--time=2", "--signal-before=60", hold=3)
    held("timed")
    finished(slurm, job, "timed")
    assert restarts(slurm, job) == 1
    assert "preempted by SIGUSR1" in logs("timed")
    same("timed", whole)


def test_a_run_with_a_failed_node_resumes_from_its_last_checkpoint(slurm, here, whole):
    job = submit(slurm, "lost", *TWO, hold=7)
    held("lost")
    slurm.run("scontrol", "update", "nodename=n2", "state=down", "reason=drill")
    finished(slurm, job, "lost")
    assert restarts(slurm, job) == 1
    same("lost", whole)


def test_a_run_with_a_killed_process_resumes_from_its_last_checkpoint(slurm, here, whole):
    job = submit(slurm, "killed", "-c", str(PROFILE), *TWO, hold=7)
    os.kill(held("killed"), 9)
    finished(slurm, job, "killed")
    assert restarts(slurm, job) == 1
    same("killed", whole)


def test_a_cancelled_run_is_not_requeued(slurm, here):
    job = submit(slurm, "cancelled", *TWO, hold=3)
    held("cancelled")
    slurm.run("scancel", job)
    assert slurm.wait_for_end(job) == "CANCELLED"
    assert (folder("cancelled") / "checkpoints/last.ckpt").exists()  # it was saved nevertheless
    time.sleep(8)  # a requeued job would have started by then
    assert slurm.state(job) == "CANCELLED"


def test_each_run_of_an_array_is_requeued_separately(slurm, here):
    Path("grid.yaml").write_text("model.hidden_dim: [4, 8]\nmodel.num_layers: [1]\n")
    job = submit(slurm, "grid", "--time=10", "--array=grid.yaml", "--data.batch_size=16", hold=3)
    first, second = sorted(path.name for path in Path("runs/drill").glob("grid-*"))
    for name in (first, second):
        held(name)
    numbers = dict(line.split() for line in slurm.run("squeue", "-hr", "-o", "%i %A").splitlines())
    slurm.run("scancel", "--signal=USR1", numbers[f"{job}_0"])
    for number, name in enumerate((first, second)):
        if number:
            slurm.run("scancel", "--signal=USR1", numbers[f"{job}_1"])
        finished(slurm, f"{job}_{number}", name)
        assert f"requeueing SLURM job {job}_{number}\n" in logs("grid")


def test_trials_of_preempted_and_killed_workers_are_resumed(slurm, here, monkeypatch):
    Path("space.yaml").write_text("model.optimizer.lr: [0.001, 0.002, 0.003, 0.004]\n")
    monkeypatch.setenv("HOLD", "13")  # in the second of two epochs
    monkeypatch.setenv("HELD", "trial-0 trial-1")
    line = ["sweep", *FIT, "--name=tune", "--space=space.yaml", "--sampler=grid", "--slurm"]
    line += ["--time=10", "--at-once=2"]
    job = started(slurm, *line)
    pids = [held(f"tune/trial-{number}") for number in (0, 1)]
    states = [json.loads((folder(f"tune/trial-{n}") / "state.json").read_text()) for n in (0, 1)]
    assert {state["job"] for state in states} == {f"{job}_0", f"{job}_1"}
    numbers = dict(line.split() for line in slurm.run("squeue", "-hr", "-o", "%i %A").splitlines())
    slurm.run("scancel", "--signal=USR1", numbers[states[0]["job"]])
    os.kill(parent_of(pids[1]), 9)
    for state in states:
        assert slurm.wait_for_end(state["job"]) == "COMPLETED", logs("tune")
    assert f"requeueing SLURM job {states[0]['job']}\n" in logs("tune")
    assert restarts(slurm, states[0]["job"]) == 1
    with open(folder("tune") / "sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["trial"], row["state"]) for row in rows] == [
        (str(n), "complete") for n in range(4)
    ]
    for number in range(4):
        path = folder(f"tune/trial-{number}")
        with open(path / "metrics.csv", newline="") as file:
            assert [row["epoch"] for row in csv.DictReader(file) if row["val/loss"]] == ["1", "2"]
        assert json.loads((path / "state.json").read_text())["state"] == "finished"
    assert started(slurm, *line) == ""  # all trials have ended
    value = yaml.safe_load((folder("tune/trial-0") / "config.yaml").read_text())
    lr = value["model"]["init_args"]["optimizer"]["init_args"]["lr"]
    fit = [*FIT, f"--model.optimizer.lr={lr}", "--trainer.accelerator=cpu", "--name=alone"]
    monkeypatch.delenv("HOLD")
    subprocess.run([sys.executable, "-m", "rnn_lab", "fit", *fit], check=True, capture_output=True)
    torch.testing.assert_close(weights("tune/trial-0"), weights("alone"), rtol=0, atol=0)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def refused(slurm: Cluster, *words: str) -> str:
    """Return the error lines of a command that fails without waiting."""
    done = subprocess.run(
        [*words], env=slurm.environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("rnn-lab: ")]
    assert "Traceback" not in done.stderr
    return "\n".join(dict.fromkeys(lines))


def test_more_tasks_than_the_run_uses_are_refused(slurm, here):
    fit = [sys.executable, "-m", "rnn_lab", "fit", *SMALL, *DATA, "--name=n"]
    fit += ["--trainer.accelerator=cpu"]
    wrong = refused(slurm, "srun", "-N1", "--ntasks-per-node=2", "-J", "x", *fit)
    assert "devices" in wrong
    assert "--ntasks-per-node=2" in refused(slurm, "srun", "-n2", "-J", "x", *fit)
    by_hand = refused(slurm, "srun", "-N1", "--ntasks-per-node=2", "-J", "bash", *fit)
    assert "srun started 2 processes, but the run uses 1" in by_hand
    alone = refused(slurm, "salloc", "-N1", "--ntasks-per-node=2", "-J", "x", *fit)
    assert "start it with `srun rnn-lab" in alone
