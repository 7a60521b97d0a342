"""State of an unfinished epoch is stored in checkpoints, and restored."""

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.trainer.states import TrainerFn

from rnn_lab.training import AccumulatedGradients, ResumeMidEpoch, ResumePlateau


def fitting_trainer():
    trainer = Trainer(
        logger=False, enable_checkpointing=False, accumulate_grad_batches=3, accelerator="cpu"
    )
    trainer.state.fn = TrainerFn.FITTING
    return trainer


def saved_gradients(batches):
    """Save a model with gradients of one after some batches."""
    trainer, model, checkpoint = fitting_trainer(), BoringModel(), {}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    trainer.fit_loop.epoch_loop.batch_progress.current.ready = batches
    AccumulatedGradients().on_save_checkpoint(trainer, model, checkpoint)
    return checkpoint


def test_gradients_are_saved_between_two_optimizer_steps_only():
    assert not saved_gradients(batches=3)
    assert saved_gradients(batches=4)


def test_gradients_are_restored_as_the_mean_if_the_number_of_processes_changed():
    checkpoint = saved_gradients(batches=4)
    (one,) = checkpoint["accumulated_gradients"]
    three = {name: 3 * gradient for name, gradient in one.items()}
    for saved, expected in (([one], 1), ([one, three], 2)):
        callback, model, trainer = AccumulatedGradients(), BoringModel(), fitting_trainer()
        callback.on_load_checkpoint(trainer, model, {"accumulated_gradients": saved})
        callback.on_train_start(trainer, model)
        for parameter in model.parameters():
            torch.testing.assert_close(parameter.grad, torch.full_like(parameter, expected))


def test_a_finished_epoch_is_not_resumed_with_max_steps():
    trainer = Trainer(max_steps=9, logger=False, enable_checkpointing=False, accelerator="cpu")
    ResumeMidEpoch().setup(trainer, BoringModel(), "fit")
    trainer.fit_loop.load_state_dict(trainer.fit_loop.state_dict())
    assert not trainer.fit_loop.restarting


@pytest.mark.parametrize("callback", [AccumulatedGradients, ResumePlateau])
def test_a_checkpoint_that_was_saved_without_the_callback_restores_nothing(callback):
    resumed, model, trainer = callback(), BoringModel(), fitting_trainer()
    resumed.on_load_checkpoint(trainer, model, {})
    resumed.on_train_start(trainer, model)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not trainer.callback_metrics
