"""A signal ends training after the batch, with a checkpoint to resume from."""

import os
import signal
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint

from rnn_lab.datamodules import SyntheticReviews
from rnn_lab.models import LSTMClassifier
from rnn_lab.signals import SIGNALS, Preempted, handle_signals
from rnn_lab.training import BestCheckpoint, Preemption


class SendSignal(Callback):
    """Send a signal to this process in a training step, or in a batch of an evaluation."""

    def __init__(self, signum, step=None, evaluation_batch=None):
        self.signum, self.step, self.evaluation_batch = signum, step, evaluation_batch

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.signum)

    def on_validation_batch_start(self, trainer, module, batch, batch_idx, *_):
        if batch_idx == self.evaluation_batch and not trainer.sanity_checking:
            os.kill(os.getpid(), self.signum)

    on_test_batch_start = on_validation_batch_start


@pytest.fixture(autouse=True)
def _handlers():
    with handle_signals():
        yield


@pytest.fixture
def reviews():
    return SyntheticReviews(64, 24, 24, batch_size=16)


@pytest.fixture
def model(reviews):
    torch.manual_seed(0)
    return LSTMClassifier(reviews.vocab_size, embedding_dim=4, hidden_dim=4)


def test_training_saves_the_checkpoint_of_the_run_beside_others(
    model, reviews, make_trainer, tmp_path
):
    other = ModelCheckpoint(tmp_path / "other", every_n_train_steps=1, save_last=True)
    callbacks = [other, SendSignal(signal.SIGTERM, 1), Preemption(), BestCheckpoint()]
    trainer = make_trainer(max_epochs=2, callbacks=callbacks)
    with pytest.raises(Preempted) as error:
        trainer.fit(model, reviews)
    assert error.value.path == str(Path(trainer.default_root_dir, "checkpoints/last.ckpt"))


@pytest.mark.parametrize("signum", SIGNALS)
@pytest.mark.parametrize("step", [0, 2])
def test_training_saves_after_the_batch_and_exits(signum, step, model, reviews, make_trainer):
    callbacks = [SendSignal(signum, step), Preemption(), BestCheckpoint()]
    trainer = make_trainer(max_epochs=2, callbacks=callbacks)
    with pytest.raises(Preempted) as error:
        trainer.fit(model, reviews)
    last = Path(trainer.default_root_dir, "checkpoints/last.ckpt")
    assert (error.value.signum, error.value.path) == (signum, str(last))
    saved = torch.load(last, weights_only=True)
    assert saved["global_step"] == step + 1
    torch.testing.assert_close(saved["state_dict"], model.state_dict(), rtol=0, atol=0)


def test_data_without_a_position_exits_at_the_end_of_the_epoch(task, data, make_trainer):
    callbacks = [SendSignal(signal.SIGTERM, step=0), Preemption(), BestCheckpoint()]
    trainer = make_trainer(max_epochs=3, callbacks=callbacks)
    with pytest.raises(Preempted) as error:
        trainer.fit(task(), data())
    assert torch.load(error.value.path, weights_only=True)["global_step"] == 2  # one epoch


def test_a_checkpoint_during_validation_restarts_the_validation(model, reviews, make_trainer):
    signals = SendSignal(signal.SIGTERM, evaluation_batch=0)
    trainer = make_trainer(max_epochs=2, callbacks=[signals, Preemption(), BestCheckpoint()])
    with pytest.raises(Preempted) as error:
        trainer.fit(model, reviews)
    loops = torch.load(error.value.path, weights_only=True)["loops"]["fit_loop"]
    validation = loops["epoch_loop.val_loop.batch_progress"]
    assert (validation["current"]["started"], validation["is_last_batch"]) == (0, False)


@pytest.mark.parametrize("command", ["validate", "test"])
def test_an_evaluation_exits_without_a_checkpoint(command, model, reviews, make_trainer):
    callbacks = [SendSignal(signal.SIGUSR1, evaluation_batch=0), Preemption()]
    trainer = make_trainer(callbacks=callbacks)
    with pytest.raises(Preempted, match="preempted by SIGUSR1: nothing was saved"):
        getattr(trainer, command)(model, reviews, verbose=False)
    assert not Path(trainer.default_root_dir, "checkpoints").exists()


def test_without_a_signal_training_ends_normally(model, reviews, make_trainer):
    trainer = make_trainer(max_epochs=1, callbacks=[Preemption(), BestCheckpoint()])
    trainer.fit(model, reviews)
    assert trainer.global_step == 4
