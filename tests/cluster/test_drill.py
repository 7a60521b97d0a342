"""Runs that are interrupted at any moment, again and again, lose nothing.

`RNN_LAB_DRILL` says how often each of the four runs is interrupted; `make drill` has 11.
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
"""Batches that take their time, read by workers or not; processes that say who they are."""
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
NAP = 0.1  # seconds a batch takes at least, while a run is interrupted
LONGEST = 1.2  # seconds from the beginning of training to the signal, at most
TIMES = int(os.environ.get("RNN_LAB_DRILL", "3"))
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    (tmp_path / "drill.py").write_text(DRILL)
    monkeypatch.chdir(tmp_path)
    found = [path for path in [os.environ.get("PYTHONPATH")] if path]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *found]))
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
    """Wait until all processes of a run are gone, which may not take long; the status."""
    log = Path(f"{name}.log")
    try:
        wait(lambda: process.poll() is not None, 60, log.read_text)
        wait(lambda: not group(process.pid), 60, log.read_text)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return process.returncode


def group(leader: int) -> list[int]:
    """Living processes of a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, number = stat.read_text().rpartition(") ")[2].split()[:3]
            if int(number) == leader and state != "Z":
                found.append(int(stat.parent.name))
    return found


def interrupt(name: str, options: list[str], processes: int, draw: random.Random) -> str:
    """Start a run, and send it a signal at some moment; what was sent, to whom, and the status."""
    process = start(name, options, NAP)
    if draw.random() < 0.15:
        time.sleep(draw.uniform(0, 2))  # in the midst of imports
        victims = [process.pid]
    else:
        marks = [Path(f"began-{rank}") for rank in range(processes)]
        wait(lambda: begun(process, marks), 120, Path(f"{name}.log").read_text)
        time.sleep(draw.uniform(0, LONGEST))
        everyone = [int(mark.read_text()) for mark in marks]
        victims = draw.choice([[each] for each in everyone] + [everyone])
    wish = draw.choice(SIGNALS)
    for victim in victims:
        with suppress(ProcessLookupError):
            os.kill(victim, wish)
    status = end(process, name)
    kinds = {-wish, 128 + wish, 1} if wish != signal.SIGKILL else {-wish, 1}
    assert status in kinds, f"{wish.name}: {status}\n{Path(f'{name}.log').read_text()}"
    return f"{wish.name} to {len(victims)} of {processes}: {status}"


def begun(process: subprocess.Popen, marks: list[Path]) -> bool:
    """Whether all processes of a run train, or none any more."""
    return process.poll() is not None or all(mark.exists() and mark.read_text() for mark in marks)


def digest(name: str) -> dict:
    last = torch.load(f"runs/drill/{name}/checkpoints/last.ckpt", weights_only=True)
    kept = {key: last[key] for key in ("state_dict", "optimizer_states", "lr_schedulers")}
    return kept | {"step": last["global_step"], "epoch": last["epoch"]}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_that_is_interrupted_at_any_moment_loses_nothing(processes, workers, monkeypatch):
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
