"""The status file has the progress of a run, its heartbeat, and why it stopped."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from lightning.pytorch.callbacks import Callback

from rnn_lab.errors import UserError
from rnn_lab.signals import Preempted
from rnn_lab.training import BestCheckpoint, EpochNumber, StatusFile


class Stop(Callback):
    """Read the status file in a step, and raise an error if one is set."""

    def __init__(self, step, error=None):
        self.step, self.error, self.status = step, error, None

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            self.status = read(trainer)
            if self.error:
                raise self.error


def read(trainer):
    with open(os.path.join(trainer.default_root_dir, "state.json")) as file:
        return json.load(file)


@pytest.fixture
def fitted(task, data, make_trainer):
    """Train, and return the Trainer also if training stopped with an error."""

    def fit(*callbacks, val_losses=(0.9, 0.5, 0.7), status_file=None, **options):
        callbacks = [status_file or StatusFile(), BestCheckpoint(), *callbacks]
        trainer = make_trainer(callbacks=callbacks, **{"max_epochs": 3, **options})
        try:
            trainer.fit(task(val_losses=list(val_losses)), data())
        except (Exception, KeyboardInterrupt, SystemExit):
            assert any(isinstance(c, Stop) and c.error for c in callbacks)
        return trainer

    return fit


def test_a_finished_run_has_its_progress(fitted):
    before = time.time()
    status = read(fitted())
    assert (status["state"], status["reason"]) == ("finished", None)
    assert (status["step"], status["epoch"], status["max_epochs"]) == (6, 3, 3)
    assert (status["monitor"], round(status["best"], 6)) == ("val/loss", 0.5)
    assert (status["host"], status["pid"]) == (os.uname().nodename, os.getpid())
    assert before <= status["began"] <= status["heartbeat"] <= time.time()


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
def test_a_stopped_run_has_its_reason(error, state, reason, fitted):
    status = read(fitted(Stop(3, error)))
    assert (status["state"], status["reason"], status["step"]) == (state, reason, 3)


class Save(Callback):
    """Save a checkpoint in the middle of the second epoch."""

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 3:
            trainer.save_checkpoint("middle.ckpt")


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch")
def test_a_run_that_stops_at_the_first_step_of_a_resume_has_its_epoch(
    task, data, make_trainer, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    first = make_trainer(max_epochs=3, callbacks=[Save()], enable_checkpointing=False)
    first.fit(task(), data())
    stop = Stop(3, Preempted(signal.SIGUSR1, ""))
    callbacks = [StatusFile(), stop]
    trainer = make_trainer(max_epochs=3, callbacks=callbacks, enable_checkpointing=False)
    with pytest.raises(Preempted):
        trainer.fit(task(), data(), ckpt_path="middle.ckpt", weights_only=False)
    assert (read(trainer)["step"], read(trainer)["epoch"]) == (3, 2)


def test_a_running_run_has_its_epoch_and_its_best_metric(fitted):
    for step, epoch, best in ((0, 1, None), (2, 2, 0.9), (4, 3, 0.5)):
        stop = Stop(step)
        fitted(stop)
        status = stop.status
        assert (status["state"], status["step"], status["epoch"]) == ("running", step, epoch)
        assert status["best"] == (None if best is None else pytest.approx(best))


def test_a_run_without_validation_has_its_training_loss(fitted):
    trainer = fitted(limit_val_batches=0)
    status = read(trainer)
    assert (status["monitor"], status["test_metric"]) == ("train/loss", "test/loss")
    assert status["best"] == pytest.approx(float(trainer.callback_metrics["train/loss"]))


def test_a_checkpoint_chosen_by_epoch_has_the_metric_of_the_task(task, data, make_trainer):
    callbacks = [StatusFile(), EpochNumber(), BestCheckpoint(monitor="epoch", mode="max")]
    trainer = make_trainer(max_epochs=3, callbacks=callbacks)
    trainer.fit(task(val_losses=[0.9, 0.5, 0.7]), data())
    status = read(trainer)
    assert (status["monitor"], status["best"]) == ("val/loss", pytest.approx(0.7))


def test_the_score_of_a_test_is_kept_until_training_continues(fitted, data, task):
    trainer = fitted(max_epochs=2)
    assert read(trainer)["test"] is None
    trainer.test(trainer.lightning_module, datamodule=data(), verbose=False)
    score = float(trainer.callback_metrics["test/loss"])
    assert read(trainer)["test"] == pytest.approx(score)
    again = StatusFile()
    again.setup(trainer, task(), "fit")
    assert read(trainer)["test"] == pytest.approx(score)
    assert again.tested
    assert read(fitted(max_epochs=3))["test"] is None


@pytest.mark.parametrize(("every", "step"), [(0.0, 1), (1000.0, 0)])
def test_heartbeats_within_an_epoch_are_limited(every, step, fitted):
    stop = Stop(1)
    fitted(stop, status_file=StatusFile(every=every))
    assert stop.status["step"] == step


def test_the_batch_after_a_validation_writes_its_result(fitted):
    class Look(Callback):
        def on_validation_start(self, trainer, *_):
            self.status = read(trainer)

    look = Look()
    fitted(look, status_file=StatusFile(every=1000.0), val_check_interval=0.5, max_epochs=1)
    assert (look.status["step"], look.status["best"]) == (2, pytest.approx(0.9))


@pytest.mark.parametrize(
    ("environment", "job"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "7"}, "7"),
        ({"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "2"}, "5_2"),
    ],
)
def test_the_status_has_the_job_id(environment, job, monkeypatch, task, make_trainer):
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    trainer, status_file = make_trainer(), StatusFile()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    status_file.setup(trainer, task(), "fit")
    assert read(trainer)["job"] == job


def test_an_evaluation_without_training_writes_no_status(task, data, make_trainer):
    trainer = make_trainer(callbacks=StatusFile(), max_epochs=1)
    trainer.test(task(), data(), verbose=False)
    trainer.validate(task(), data(), verbose=False)
    assert not os.path.exists(os.path.join(trainer.default_root_dir, "state.json"))


def test_the_status_has_whether_the_run_was_tested_after_its_last_step(task, data, make_trainer):
    for max_epochs, tested in ((1, False), (1, True), (2, False)):
        trainer = make_trainer(callbacks=[StatusFile(), BestCheckpoint()], max_epochs=max_epochs)
        last = Path(trainer.default_root_dir, "checkpoints/last.ckpt")
        trainer.fit(task(), data(), ckpt_path=last if last.exists() else None)
        assert read(trainer)["tested"] == tested
        trainer.test(task(), data(), verbose=False)
        assert (read(trainer)["tested"], read(trainer)["state"]) == (True, "finished")


def test_a_dry_run_writes_no_status(task, data, make_trainer):
    trainer = make_trainer(callbacks=StatusFile(), fast_dev_run=True, logger=False)
    trainer.fit(task(), data())
    assert not os.path.exists(trainer.default_root_dir)


def test_a_status_that_cannot_be_written_does_not_stop_training(fitted, tmp_path):
    (tmp_path / "run/.state.json.part").mkdir(parents=True)
    assert fitted().global_step == 6
