"""Hooks that do nothing are skipped, all others are called."""

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import LambdaCallback
from lightning.pytorch.profilers import SimpleProfiler

from rnn_lab.training import NoProfiler, SkipUnusedHooks
from rnn_lab.training.unused_hooks import BATCH_HOOKS

ARGUMENTS = {"enable_checkpointing": False, "limit_val_batches": 0}


class Base(Callback):
    """Counts the batches."""

    def __init__(self):
        self.count = 0

    def on_train_batch_end(self, *_):
        self.count += 1


class Derived(Base):
    """Calls a hook that its base inherits from Lightning's class."""

    def on_train_batch_start(self, *args):
        super().on_train_batch_start(*args)
        self.count += 10


def test_hooks_that_are_defined_are_called(task, data, make_trainer):
    called = []
    functions = {hook: lambda *_, hook=hook: called.append(hook) for hook in BATCH_HOOKS}
    callbacks = [Base(), Derived(), LambdaCallback(**functions), SkipUnusedHooks()]
    make_trainer(max_epochs=2, callbacks=callbacks, **ARGUMENTS).fit(task(), data())
    assert (callbacks[0].count, callbacks[1].count) == (4, 44)
    assert [called.count(hook) for hook in BATCH_HOOKS] == [4] * len(BATCH_HOOKS)
    assert callbacks[0].on_train_batch_start is None
    assert callbacks[1].on_before_backward is None


@pytest.mark.parametrize("skipped", [True, False])
def test_hooks_that_do_nothing_are_not_called(skipped, task, data, make_trainer):
    profiler = SimpleProfiler()
    callbacks = [Base(), *([SkipUnusedHooks()] if skipped else [])]
    trainer = make_trainer(max_epochs=1, callbacks=callbacks, profiler=profiler, **ARGUMENTS)
    trainer.fit(task(), data())
    hooks = {name.rpartition(".")[2] for name in profiler.recorded_durations if "Base" in name}
    assert "on_train_batch_end" in hooks
    assert ("on_before_backward" in hooks) is not skipped


def test_without_a_profiler_training_is_the_same(task, data, make_trainer):
    losses = []
    for profiler in (None, NoProfiler()):
        trainer = make_trainer(max_epochs=1, profiler=profiler, callbacks=[Base()], **ARGUMENTS)
        trainer.fit(task(), data())
        losses.append(trainer.callback_metrics["train/loss"])
        assert trainer.callbacks[0].count == 2
    assert losses[0].isfinite()
