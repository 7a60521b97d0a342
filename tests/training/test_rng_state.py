"""Random generators continue after a resume as if the run had not been interrupted."""

import io
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.trainer.states import TrainerFn

from rnn_lab.training import RNGStateCheckpoint
from rnn_lab.training.rng_state import get_states, set_states


def draw():
    return torch.rand(2).tolist(), random.random(), np.random.rand(2).tolist()  # noqa: NPY002


def test_restored_states_give_the_same_numbers():
    random.gauss(0, 1)  # the second number of a pair is part of the state
    states = get_states()
    first = draw()
    assert draw() != first
    set_states(states)
    assert draw() == first


def test_states_survive_a_checkpoint_that_is_read_without_pickled_objects():
    file = io.BytesIO()
    torch.save(get_states(), file)
    first = draw()
    file.seek(0)
    set_states(torch.load(file, weights_only=True))
    assert draw() == first


class DrawEachStep(Callback):
    """Draw numbers in every training step, and save a checkpoint after one step."""

    def __init__(self, save_at=None, path=None):
        self.save_at, self.path, self.numbers = save_at, path, []

    def on_train_batch_end(self, trainer, *_):
        self.numbers.append(draw())
        if trainer.global_step == self.save_at:
            trainer.save_checkpoint(self.path)

    def on_validation_start(self, trainer, *_):
        draw()


@pytest.mark.parametrize("save_at", [1, 2, 3])
def test_a_resumed_run_draws_the_numbers_of_an_uninterrupted_one(
    task, data, make_trainer, tmp_path, save_at
):
    path = tmp_path / "saved.ckpt"
    options = {"max_epochs": 3, "num_sanity_val_steps": 0, "enable_checkpointing": False}
    whole = DrawEachStep(save_at, path)
    make_trainer(callbacks=[RNGStateCheckpoint(), whole], **options).fit(task(), data())
    assert len(whole.numbers) == 6
    draw()
    resumed = DrawEachStep()
    trainer = make_trainer(callbacks=[RNGStateCheckpoint(), resumed], **options)
    trainer.fit(task(), data(), ckpt_path=path)
    assert resumed.numbers == whole.numbers[save_at:]


@pytest.mark.parametrize("save_world_size", [1, 2])
def test_states_are_restored_only_with_the_same_number_of_processes(save_world_size):
    states = get_states()
    first = draw()
    saved = {"processes": [states] * save_world_size, "epoch_ended": False, "validating": False}
    fitting = SimpleNamespace(fn=TrainerFn.FITTING)
    trainer = SimpleNamespace(world_size=1, global_rank=0, state=fitting)
    callback = RNGStateCheckpoint()
    callback.on_load_checkpoint(trainer, None, {"rng_states": saved})
    callback.on_train_batch_start(trainer)
    assert (draw() == first) == (save_world_size == 1)
