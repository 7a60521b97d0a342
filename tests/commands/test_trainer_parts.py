"""Callbacks and plugins that the commands add to a Trainer."""

import pytest
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import EarlyStopping

from rnn_lab import training
from rnn_lab.commands._trainer_parts import with_checkpoint_io, with_standard_callbacks, without

CONFIG = {"enable_checkpointing": None, "fast_dev_run": False, "enable_progress_bar": None}


def kinds(**changes):
    callbacks = with_standard_callbacks([training.BestCheckpoint()], {**CONFIG, **changes})
    return [type(callback) for callback in callbacks]


def test_standard_callbacks_are_added_once():
    assert training.BestCheckpoint in kinds()
    assert training.BatchProgressBar in kinds()
    assert len(set(kinds())) == len(kinds())


@pytest.mark.parametrize("changes", [{"enable_checkpointing": False}, {"fast_dev_run": 1}])
def test_nothing_is_saved_without_checkpointing(changes):
    assert training.BestCheckpoint not in kinds(**changes)


def test_the_progress_bar_can_be_disabled():
    assert training.BatchProgressBar not in kinds(enable_progress_bar=False)


def test_callbacks_of_a_class_and_its_subclasses_are_removed():
    early, best = training.ValidationEarlyStopping(), training.BestCheckpoint()
    assert without(EarlyStopping, [early, best]) == [best]


@pytest.mark.parametrize("plugins", [None, [], "other", ["other"]])
def test_a_checkpoint_plugin_is_added(plugins):
    added = with_checkpoint_io(plugins, TorchCheckpointIO)
    assert isinstance(added[-1], TorchCheckpointIO)
    assert added[:-1] == (["other"] if plugins else [])


def test_the_checkpoint_plugin_of_the_user_is_kept():
    own = TorchCheckpointIO()
    assert with_checkpoint_io(own, TorchCheckpointIO) == [own]
