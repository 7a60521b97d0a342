"""What a run tells of itself to those who look from outside."""

import json
import os
import signal
import time

import pytest
from lightning.pytorch.callbacks import Callback

from rnn_lab.errors import UserError
from rnn_lab.signals import Preempted
from rnn_lab.training import BestCheckpoint, StatusFile


class Stop(Callback):
    """Raises an error in some step, after noting what was written by then."""

    def __init__(self, step, error=None):
        self.step, self.error, self.seen = step, error, None

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            self.seen = read(trainer)
            if self.error:
                raise self.error


def read(trainer):
    with open(os.path.join(trainer.default_root_dir, "state.json")) as file:
        return json.load(file)


@pytest.fixture
def fitted(task, data, make_trainer):
    """Train; give the Trainer, whatever became of it."""

    def fit(*callbacks, val_losses=(0.9, 0.5, 0.7), state=None, **options):
        callbacks = [state or StatusFile(), BestCheckpoint(), *callbacks]
        trainer = make_trainer(callbacks=callbacks, **{"max_epochs": 3, **options})
        try:
            trainer.fit(task(val_losses=list(val_losses)), data())
        except (Exception, KeyboardInterrupt, SystemExit):
            assert any(isinstance(c, Stop) and c.error for c in callbacks)
        return trainer

    return fit


def test_a_run_that_ends_tells_how_far_it_came(fitted):
    began = time.time()
    told = read(fitted())
    assert (told["state"], told["reason"]) == ("finished", None)
    assert (told["step"], told["epoch"], told["max_epochs"]) == (6, 3, 3)
    assert (told["monitor"], round(told["best"], 6)) == ("val/loss", 0.5)
    assert (told["host"], told["pid"]) == (os.uname().nodename, os.getpid())
    assert began <= told["began"] <= told["heartbeat"] <= time.time()


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (Preempted(signal.SIGUSR1, "last.ckpt"), "preempted", "SIGUSR1"),
        (KeyboardInterrupt(), "interrupted", None),
        (UserError("loss is nan\nat step 3"), "failed", "loss is nan"),
        (RuntimeError("out of\nmemory"), "failed", "RuntimeError: out of"),
        (MemoryError(), "failed", "MemoryError: "),
    ],
)
def test_a_run_that_stops_tells_why(error, state, reason, fitted):
    told = read(fitted(Stop(3, error)))
    assert (told["state"], told["reason"], told["step"]) == (state, reason, 3)


def test_a_running_run_tells_of_each_epoch_and_the_best_by_then(fitted):
    for step, epoch, best in ((0, 0, None), (2, 1, 0.9), (4, 2, 0.5)):
        stop = Stop(step)
        fitted(stop)
        seen = stop.seen
        assert (seen["state"], seen["step"], seen["epoch"]) == ("running", step, epoch)
        assert seen["best"] == (None if best is None else pytest.approx(best))


@pytest.mark.parametrize(("every", "step"), [(0.0, 1), (1000.0, 0)])
def test_within_an_epoch_signs_are_some_time_apart(every, step, fitted):
    stop = Stop(1)
    fitted(stop, state=StatusFile(every=every))
    assert stop.seen["step"] == step


def test_the_batch_after_a_validation_tells_what_came_of_it(fitted):
    class Look(Callback):
        def on_validation_start(self, trainer, *_):
            self.seen = read(trainer)

    look = Look()
    fitted(look, state=StatusFile(every=1000.0), val_check_interval=0.5, max_epochs=1)
    assert (look.seen["step"], look.seen["best"]) == (2, pytest.approx(0.9))


@pytest.mark.parametrize(
    ("environment", "job"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "7"}, "7"),
        ({"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "2"}, "5_2"),
    ],
)
def test_the_job_is_told(environment, job, monkeypatch, task, make_trainer):
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    trainer, state = make_trainer(), StatusFile()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    state.setup(trainer, task(), "fit")
    assert read(trainer)["job"] == job


def test_a_test_tells_nothing_unless_it_follows_training(task, data, make_trainer):
    trainer = make_trainer(callbacks=StatusFile(), max_epochs=1)
    trainer.test(task(), data(), verbose=False)
    trainer.validate(task(), data(), verbose=False)
    assert not os.path.exists(os.path.join(trainer.default_root_dir, "state.json"))


def test_a_fast_dev_run_tells_nothing(task, data, make_trainer):
    trainer = make_trainer(callbacks=StatusFile(), fast_dev_run=True, logger=False)
    trainer.fit(task(), data())
    assert not os.path.exists(trainer.default_root_dir)


def test_a_state_that_cannot_be_written_stops_no_run(fitted, tmp_path):
    (tmp_path / "run/.state.json.part").mkdir(parents=True)
    assert fitted().global_step == 6
