"""Runs that are interrupted repeatedly at random moments lose nothing.

`RNN_LAB_DRILL` is the number of interruptions of each of the four runs; `make drill` sets 11.
"""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from private_slurm import wait

DRILL = '''
"""Slow batches, optionally loaded by workers; processes write their ids to files."""
import os, time
from pathlib import Path
from lightning.pytorch.callbacks import Callback
from rnn_lab.datamodules import SyntheticReviews

class Reviews(SyntheticReviews):
    def _make_loader(self, name, shuffle):
        loader = super()._make_loader(name, shuffle)
        if workers := int(os.environ["WORKERS"]):
            loader.num_workers, loader.prefetch_factor = workers, 2
        return loader

class Slow(Callback):
    def on_train_start(self, trainer, task):
        Path(f"began-{trainer.global_rank}").write_text(str(os.getpid()))
    def on_train_batch_start(self, *_):
        time.sleep(float(os.environ["NAP"]))
    def on_validation_batch_start(self, *_):
        time.sleep(float(os.environ["NAP"]))
'''
EPOCHS, TRAIN, VALID = 12, 80, 40
FIT = [
    *("fit", "--model=LSTMClassifier", "--model.embedding_dim=8", "--model.hidden_dim=8"),
    *("--model.optimizer=Adam", "--model.scheduler=CosineDecay", "--data=drill.Reviews"),
    *(f"--data.train_size={TRAIN}", f"--data.valid_size={VALID}", "--trainer.accelerator=cpu"),
    *(f"--trainer.max_epochs={EPOCHS}", "--trainer.callbacks+=drill.Slow", "--experiment=drill"),
    *("--early_stopping.patience=100", "--ckpt_path=last"),
]
NAP = 0.1  # minimum seconds per batch of a run that is interrupted
LONGEST = 1.2  # maximum seconds from the start of training to the signal
TIMES = int(os.environ.get("RNN_LAB_DRILL", "3"))
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    (tmp_path / "drill.py").write_text(DRILL)
    monkeypatch.chdir(tmp_path)
    inherited = [path for path in [os.environ.get("PYTHONPATH")] if path]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *inherited]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("RNN_LAB_RUN", raising=False)


def start(name: str, options: list[str], nap: float) -> subprocess.Popen:
    for mark in Path().glob("began-*"):
        mark.unlink()
    with open(f"{name}.log", "a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "rnn_lab", *FIT, f"--name={name}", *options],
            stdout=log,
            stderr=log,
            env=os.environ | {"NAP": str(nap)},
            start_new_session=True,
        )


def end(process: subprocess.Popen, name: str) -> int:
    """Wait until all processes of a run have ended, with a time limit; return the status."""
    log = Path(f"{name}.log")
    try:
        wait(lambda: process.poll() is not None, 240, log.read_text)
        wait(lambda: not group(process.pid), 240, log.read_text)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return process.returncode


def group(leader: int) -> list[int]:
    """Return the ids of the living processes of a process group."""
    pids = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, number = stat.read_text().rpartition(") ")[2].split()[:3]
            if int(number) == leader and state != "Z":
                pids.append(int(stat.parent.name))
    return pids


def interrupt(name: str, options: list[str], processes: int, draw: random.Random) -> str:
    """Start a run, send it a signal at a random moment, and return a description."""
    process = start(name, options, NAP)
    if draw.random() < 0.15:
        time.sleep(draw.uniform(0, 2))  # during imports
        victims = [process.pid]
    else:
        marks = [Path(f"began-{rank}") for rank in range(processes)]
        wait(lambda: has_started(process, marks), 120, Path(f"{name}.log").read_text)
        time.sleep(draw.uniform(0, LONGEST))
        pids = [int(mark.read_text()) for mark in marks]
        victims = draw.choice([[pid] for pid in pids] + [pids])
    signum = draw.choice(SIGNALS)
    for victim in victims:
        with suppress(ProcessLookupError):
            os.kill(victim, signum)
    status = end(process, name)
    expected = {-signum, 128 + signum, 1} if signum != signal.SIGKILL else {-signum, 1}
    assert status in expected, f"{signum.name}: {status}\n{Path(f'{name}.log').read_text()}"
    return f"{signum.name} to {len(victims)} of {processes}: {status}"


def has_started(process: subprocess.Popen, marks: list[Path]) -> bool:
    """Return whether all processes of a run are training, or the run has ended."""
    return process.poll() is not None or all(mark.exists() and mark.read_text() for mark in marks)


def digest(name: str) -> dict:
    last = torch.load(f"runs/drill/{name}/checkpoints/last.ckpt", weights_only=True)
    states = {key: last[key] for key in ("state_dict", "optimizer_states", "lr_schedulers")}
    return states | {"step": last["global_step"], "epoch": last["epoch"]}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_that_is_interrupted_at_random_moments_loses_nothing(processes, workers, monkeypatch):
    monkeypatch.setenv("WORKERS", str(workers))
    options = [f"--data.batch_size={8 // processes}", f"--trainer.devices={processes}"]
    options += ["--trainer.strategy=ddp"] if processes > 1 else []
    draw = random.Random(f"{processes} {workers} {TIMES}")
    sent = [interrupt("left", options, processes, draw) for _ in range(TIMES)]
    print("\n".join(sent))
    assert end(start("left", options, 0), "left") == 0, Path("left.log").read_text()
    assert end(start("whole", options, 0), "whole") == 0, Path("whole.log").read_text()
    torch.testing.assert_close(digest("left"), digest("whole"), rtol=0, atol=0)
    assert digest("whole")["step"] == EPOCHS * TRAIN // 8
