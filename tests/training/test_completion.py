"""A run that has reached its limits is not trained further; with larger limits it is."""

from pathlib import Path

import pytest
from lightning.pytorch.callbacks import Callback, Timer

from rnn_lab.training import BestCheckpoint, Completion, TimeBudget, ValidationEarlyStopping


class Stop(Callback):
    """Stop at a step, as a callback of a user may do."""

    def on_train_batch_end(self, trainer, *_):
        trainer.should_stop = trainer.should_stop or trainer.global_step == 4


class LateTimer(Timer):
    """A timer that is not checked before step 4, so that there is a checkpoint."""

    def _check_time_remaining(self, trainer):
        if trainer.global_step == 4:
            super()._check_time_remaining(trainer)


@pytest.fixture
def fit(task, data, make_trainer):
    """Train, or resume with `last`; return the Trainer and the reason why the run is complete."""

    def run(*callbacks, last=None, **options):
        completion = Completion()
        callbacks = [*callbacks, completion, BestCheckpoint()]
        trainer = make_trainer(callbacks=callbacks, **{"max_epochs": 5, **options})
        # The metric does not improve after the first epoch.
        trainer.fit(task(val_losses=[0.1] + [0.5] * 9), data(), ckpt_path=last)
        return trainer, completion.reason

    return run


REACHED = "max_epochs=5 or max_steps=-1 is reached"
LIMITS = {
    "early stopping": (
        lambda: ValidationEarlyStopping(patience=1, patience_steps=0),
        lambda: ValidationEarlyStopping(patience=3, patience_steps=0),
        {}, "stopped early by val/loss, with a patience of 1 validations and 0 steps",
    ),
    "time budget": (
        lambda: TimeBudget(1e-9), lambda: TimeBudget(60.0),
        {}, "the time budget of 1e-09 minutes is used up",
    ),
    "epochs": (Completion, Completion, {"max_epochs": 7}, REACHED),
    "another callback": (Stop, Stop, {"max_epochs": 6}, "a callback has stopped it"),
    "time": (
        lambda: LateTimer({"seconds": 1e-9}), lambda: LateTimer({"hours": 1}),
        {}, "a callback has stopped it",
    ),
}  # fmt: skip


def last_of(trainer):
    return Path(trainer.default_root_dir, "checkpoints/last.ckpt")


@pytest.mark.parametrize("name", LIMITS)
def test_a_complete_run_is_not_trained_further(name, fit):
    limit, _, _, message = LIMITS[name]
    trainer, reason = fit(limit())
    assert reason is None
    before, epoch = last_of(trainer).read_bytes(), trainer.current_epoch
    for _ in range(2):
        resumed, reason = fit(limit(), last=last_of(trainer))
        assert (resumed.global_step, resumed.current_epoch) == (trainer.global_step, epoch)
        assert reason == message
        assert last_of(resumed).read_bytes() == before


@pytest.mark.parametrize("name", LIMITS)
def test_a_larger_limit_trains_further(name, fit):
    limit, larger, options, _ = LIMITS[name]
    trainer, _ = fit(limit())
    resumed, reason = fit(larger(), last=last_of(trainer), **options)
    assert resumed.global_step > trainer.global_step
    assert reason is None


def test_a_limit_counts_after_the_minimum_number_of_epochs(fit):
    trainer, _ = fit(ValidationEarlyStopping(patience=1, patience_steps=0))
    resumed, reason = fit(
        ValidationEarlyStopping(patience=1, patience_steps=0), last=last_of(trainer), min_epochs=4
    )
    assert resumed.current_epoch == 4
    assert reason is None


def test_an_interrupted_run_is_not_complete(fit):
    trainer, _ = fit(max_steps=3)
    resumed, reason = fit(last=last_of(trainer))
    assert resumed.global_step > 3
    assert reason is None
