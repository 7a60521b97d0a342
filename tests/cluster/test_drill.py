"""Runs that are interrupted repeatedly at random moments lose nothing, whatever their options.

`RNN_LAB_DRILL` is the number of interruptions of each case; `make drill` sets 12. An interruption
counts if it ended a run before its end. Most runs are forked from a process that has imported
everything (`forked_runs`), every eighth is a command `rnn-lab`.
"""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import forked_runs
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
EPOCHS, TRAIN, VALID, BATCH = 6, 80, 32, 8  # 10 batches per epoch
STEPS = EPOCHS * TRAIN // BATCH
FIT = [
    *("fit", "--model=LSTMClassifier", "--model.embedding_dim=8", "--model.hidden_dim=8"),
    *("--model.optimizer=Adam", "--data=drill.Reviews", "--trainer.accelerator=cpu"),
    *(f"--data.train_size={TRAIN}", f"--data.valid_size={VALID}", "--experiment=drill"),
    *(f"--trainer.max_epochs={EPOCHS}", "--trainer.callbacks+=drill.Slow", "--ckpt_path=last"),
    "--early_stopping.patience=100",
]
LIGHTNING = "--trainer.callbacks+=lightning.pytorch.callbacks"
CASES = {  # options of a run, and its number of steps; None if the data decides it
    "plain": (["--model.scheduler=CosineDecay"], STEPS),
    "max_steps": (["--trainer.max_steps=35"], 35),
    "accumulation": (["--trainer.accumulate_grad_batches=3"], 4 * EPOCHS),
    "accumulation, validations": (
        ["--trainer.accumulate_grad_batches=3", "--trainer.val_check_interval=0.4"],
        4 * EPOCHS,
    ),
    "validations": (["--trainer.val_check_interval=0.3"], STEPS),
    "early stopping": (["--model.optimizer.lr=0.2", "--early_stopping.patience=1"], None),
    "SWA": (
        [
            *(f"{LIGHTNING}.StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.01"),
            *("--trainer.callbacks.swa_epoch_start=2", "--trainer.callbacks.annealing_epochs=3"),
        ],
        STEPS,
    ),
    "EMA": ([f"{LIGHTNING}.EMAWeightAveraging"], STEPS),
    "plateau": (
        [
            "--model.scheduler=lightning.pytorch.cli.ReduceLROnPlateau",
            *("--model.scheduler.monitor=val/loss", "--model.scheduler.patience=1"),
        ],
        STEPS,
    ),
    "second checkpoint": (
        [f"{LIGHTNING}.ModelCheckpoint", "--trainer.callbacks.dirpath=other"],
        STEPS,
    ),
    "workers": ([], STEPS),
    "time budget": (
        [
            *("--trainer.callbacks+=rnn_lab.training.TimeBudget", "--trainer.max_epochs=-1"),
            "--trainer.callbacks.minutes=0.015",
        ],
        None,
    ),
}
BUDGET = "time budget"  # the number of its steps depends on the speed
NAP = 0.015  # minimum seconds per batch
TIMES = int(os.environ.get("RNN_LAB_DRILL", "2"))
ALONE_SECONDS = 20  # processes whose peer was killed usually notice it at once
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1)


class Run:
    """A command in one or more processes, forked or started."""

    def __init__(self, name: str, case: str, processes: int, *, forked: bool, nap: float) -> None:
        options = [
            *FIT,
            *CASES[case][0],
            f"--name={name}",
            f"--data.batch_size={BATCH // processes}",
        ]
        if processes > 1:
            options += [f"--trainer.devices={processes}", "--trainer.strategy=ddp"]
        environment = {"NAP": str(nap), "WORKERS": "2" if case == "workers" else "0"}
        for mark in Path().glob("began-*"):
            mark.unlink()
        self.log, self.marks = Path(f"{name}.log"), [Path(f"began-{r}") for r in range(processes)]
        self.forks, self.command, self.alone_since = [], None, 0.0
        if forked:
            self.forks = forked_runs.start(options, processes, self.log, environment)
        else:
            with self.log.open("a") as log:
                self.command = subprocess.Popen(
                    [sys.executable, "-m", "rnn_lab", *options],
                    stdout=log,
                    stderr=log,
                    env=os.environ | environment,
                    start_new_session=True,
                )

    @property
    def leaders(self) -> list[int]:
        return [self.command.pid] if self.command else [int(fork.pid or 0) for fork in self.forks]

    @property
    def status(self) -> int | None:
        """The status of the first process, once all have ended."""
        if self.command:
            return self.command.poll()
        codes = [fork.exitcode for fork in self.forks]
        return None if None in codes else codes[0]

    @property
    def training(self) -> bool:
        """Whether all processes are training, or the run has ended."""
        started = all(mark.exists() and mark.read_text() for mark in self.marks)
        return started or self.status is not None

    def send(self, signum: int, draw: random.Random) -> int:
        """Send a signal to one process or to all; return how many received it."""
        pids = [int(mark.read_text()) for mark in self.marks if mark.exists() and mark.read_text()]
        pids = self.leaders if len(pids) < len(self.marks) else pids
        victims = draw.choice([[pid] for pid in pids] + [pids])
        for victim in victims:
            with suppress(ProcessLookupError):
                os.kill(victim, signum)
        return len(victims)

    def _has_ended(self) -> bool:
        """Whether all processes have ended; as torchrun does, kill those that one has left alone.

        One that was killed before all were connected would be waited for for half an hour.
        """
        if self.status is not None:
            return True
        if any((fork.exitcode or 0) < 0 for fork in self.forks):
            self.alone_since = self.alone_since or time.monotonic()
            if time.monotonic() > self.alone_since + ALONE_SECONDS:
                for fork in self.forks:
                    fork.kill()
        return False

    def end(self) -> int:
        """Wait until all processes have ended, with a time limit; return the status."""
        try:
            wait(self._has_ended, 240, self.log.read_text)
            wait(lambda: not any(map(group, self.leaders)), 240, self.log.read_text)
        finally:
            for leader in self.leaders:
                with suppress(ProcessLookupError):
                    os.killpg(leader, signal.SIGKILL)
        assert self.status is not None
        return self.status


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    (tmp_path / "drill.py").write_text(DRILL)
    monkeypatch.chdir(tmp_path)
    inherited = [path for path in [os.environ.get("PYTHONPATH")] if path]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *inherited]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("RNN_LAB_RUN", raising=False)


def group(leader: int) -> list[int]:
    """Return the ids of the living processes of a process group."""
    pids = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, number = stat.read_text().rpartition(") ")[2].split()[:3]
            if int(number) == leader and state != "Z":
                pids.append(int(stat.parent.name))
    return pids


def interrupt(name: str, case: str, processes: int, forked: bool, draw: random.Random) -> str:
    """Start a run and send it a signal at a random moment.

    Returns:
        A description; empty if the run had ended, or ended all the same.
    """
    run = Run(name, case, processes, forked=forked, nap=NAP)
    if draw.random() < 0.15:
        time.sleep(draw.uniform(0, 0.5 if forked else 5))  # before training
    else:
        wait(lambda: run.training, 240, run.log.read_text)
        time.sleep(draw.uniform(0, 2 * NAP * STEPS))
    signum = draw.choice(SIGNALS)
    victims = run.send(signum, draw)
    start = time.monotonic()
    status = run.end()
    expected = {-signum, -signal.SIGKILL, 0, 1}
    if signum != signal.SIGKILL:
        expected.add(128 + signum)
    assert status in expected, f"{signum.name}: {status}\n{run.log.read_text()}"
    if status == 0:
        return ""
    way = "forked" if forked else "command"
    seconds = time.monotonic() - start
    return f"{signum.name} to {victims} of {processes}, {way}: {status} after {seconds:.1f} s"


def finish(name: str, case: str, processes: int) -> dict:
    """Complete a run; return what its last checkpoint holds."""
    run = Run(name, case, processes, forked=True, nap=0)
    assert run.end() == 0, run.log.read_text()
    last = torch.load(f"runs/drill/{name}/checkpoints/last.ckpt", weights_only=True)
    states = [last[key] for key in ("state_dict", "optimizer_states", "lr_schedulers")]
    averages = [last.get("averaging_state"), *map(averaged, last["callbacks"].values())]
    numbers = {"step": last["global_step"], "epoch": last["epoch"]}
    return {"states": without_text(states), "averages": without_text(averages), **numbers}


def averaged(callback: dict) -> dict | None:
    return callback.get("average_model_state")


def without_text(value):
    """Return nested values without strings, which `assert_close` does not compare."""
    if isinstance(value, dict):
        return {k: without_text(v) for k, v in value.items() if not isinstance(v, str)}
    return [without_text(v) for v in value] if isinstance(value, list) else value


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_a_run_that_is_interrupted_at_random_moments_loses_nothing(case, processes):
    whole = finish("whole", case, processes)
    torch.testing.assert_close(finish("whole", case, processes), whole, rtol=0, atol=0)
    if CASES[case][1] is not None:
        assert whole["step"] == CASES[case][1]
    draw = random.Random(f"{case} {processes} {TIMES}")
    sent: list[str] = []
    attempts = runs = 0
    while len(sent) < TIMES:
        name = f"left-{runs}"
        attempts += 1
        description = interrupt(name, case, processes, attempts % 8 != 0, draw)
        sent += [description] if description else []
        if not description or len(sent) == TIMES:  # complete, or to be completed
            resumed = finish(name, case, processes)
            if case != BUDGET:
                torch.testing.assert_close(resumed, whole, rtol=0, atol=0)
            runs += 1
    head = f"{case}, {processes} processes: {len(sent)} interruptions of {runs} runs, no difference"
    print(f"\n{head}", *sent, sep="\n  ")
