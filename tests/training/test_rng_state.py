"""Random generators continue after a resume as if the run had not been interrupted."""

import io
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.trainer.states import TrainerFn

from rnn_lab.datamodules import SyntheticReviews
from rnn_lab.models import LSTMClassifier
from rnn_lab.training import RNGStateCheckpoint
from rnn_lab.training.rng_state import get_states, set_states

STEPS = 4  # per epoch


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
        if trainer.global_step == self.save_at and self.save_at % STEPS:
            trainer.save_checkpoint(self.path)

    def on_train_epoch_end(self, trainer, *_):  # after validation
        if trainer.global_step == self.save_at:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize("save_at", [1, 3, 4, 6])
def test_a_resumed_run_draws_the_numbers_of_an_uninterrupted_one(make_trainer, tmp_path, save_at):
    def train(callback, path=None):
        torch.manual_seed(0)
        reviews = SyntheticReviews(64, 8, 8, batch_size=16)
        model = LSTMClassifier(reviews.vocab_size, embedding_dim=4, hidden_dim=4)
        options = {"max_epochs": 2, "num_sanity_val_steps": 0, "enable_checkpointing": False}
        trainer = make_trainer(callbacks=[RNGStateCheckpoint(), callback], **options)
        trainer.fit(model, reviews, ckpt_path=path)
        return callback.numbers

    path = tmp_path / "saved.ckpt"
    numbers = train(DrawEachStep(save_at, path))
    assert len(numbers) == 8
    assert train(DrawEachStep(), path) == numbers[save_at:]


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
