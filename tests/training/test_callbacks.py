import json
import logging
import math
import shutil
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import ModelCheckpoint
from tiny import TinyData, TinyTask
from torch.multiprocessing import ProcessRaisedException

from rnn_lab.errors import UserError
from rnn_lab.training import (
    BestCheckpoint,
    CSVMetricsLogger,
    GradNormAndLRMonitor,
    StatusFile,
    TerminateOnNaN,
    ValidationEarlyStopping,
    checkpoint_callback_of,
    read_metrics,
)


def epoch_of(path):
    return torch.load(path, weights_only=True)["epoch"]


def checkpoint_names(trainer):
    return sorted(path.name for path in Path(trainer.default_root_dir, "checkpoints").iterdir())


def test_only_the_best_and_the_last_checkpoint_are_saved(task, data, make_trainer):
    trainer = make_trainer(max_epochs=4, callbacks=BestCheckpoint())
    trainer.fit(task(val_losses=[0.9, 0.5, 0.7, 0.6]), data())
    assert checkpoint_names(trainer) == ["best.ckpt", "last.ckpt"]
    assert epoch_of(trainer.checkpoint_callback.best_model_path) == 1
    assert epoch_of(trainer.checkpoint_callback.last_model_path) == 3


def test_the_best_checkpoint_is_chosen_by_the_monitor_of_the_module(task, data, make_trainer):
    model = task(val_losses=[0.5, 0.9, 0.7])
    model.mode = "max"
    trainer = make_trainer(max_epochs=3, callbacks=BestCheckpoint())
    trainer.fit(model, data())
    assert trainer.checkpoint_callback.monitor == "val/loss"
    assert epoch_of(trainer.checkpoint_callback.best_model_path) == 1


def test_the_metrics_of_the_best_checkpoint_survive_a_resume(task, data, make_trainer):
    trainer = make_trainer(max_epochs=2, callbacks=BestCheckpoint())
    trainer.fit(task(val_losses=[0.5, 0.9]), data())
    last = trainer.checkpoint_callback.last_model_path
    trainer = make_trainer(max_epochs=3, callbacks=BestCheckpoint())
    trainer.fit(task(val_losses=[0.5, 0.9, 0.7]), data(), ckpt_path=last)
    assert trainer.checkpoint_callback.best_metrics["val/loss"] == pytest.approx(0.5)


def test_early_stopping_names_a_module_that_declares_no_monitor(data, make_trainer):
    class Plain(LightningModule):
        training_step, validation_step = TinyTask.training_step, TinyTask.validation_step
        step = TinyTask.step
        configure_optimizers = TinyTask.configure_optimizers

    with pytest.raises(UserError, match="needs a monitor, as Plain declares none"):
        make_trainer(max_epochs=1, callbacks=ValidationEarlyStopping()).fit(Plain(), data())


def test_scores_of_zero_neither_stop_training_nor_remain_the_best(task, data, make_trainer):
    model = task(val_losses=[0.0, 0.0, 0.0, 0.0, 0.1, 0.0])
    model.mode = "max"
    trainer = make_trainer(
        max_epochs=6, callbacks=[BestCheckpoint(), ValidationEarlyStopping(2, patience_steps=0)]
    )
    trainer.fit(model, data(), ckpt_path=None)
    assert trainer.current_epoch == 6
    assert epoch_of(trainer.checkpoint_callback.best_model_path) == 4
    model = task(val_losses=[0.0, 0.0, 0.0])
    model.mode = "max"
    trainer = make_trainer(
        max_epochs=3, callbacks=[BestCheckpoint(), ValidationEarlyStopping(1, patience_steps=0)]
    )
    trainer.fit(model, data())
    assert epoch_of(trainer.checkpoint_callback.best_model_path) == 2


@pytest.mark.parametrize("position", [0, 1], ids=["before", "after"])
def test_the_checkpoints_of_the_run_are_found_beside_others(position, task, data, make_trainer):
    other, own = ModelCheckpoint(every_n_train_steps=1, filename="other"), BestCheckpoint()
    callbacks = [own, StatusFile()]
    callbacks.insert(position, other)
    trainer = make_trainer(max_epochs=2, callbacks=callbacks)
    trainer.fit(task(val_losses=[0.5, 0.9]), data())
    assert checkpoint_callback_of(trainer) is own
    status = json.loads(Path(trainer.default_root_dir, "state.json").read_text())
    assert (status["monitor"], status["best"]) == ("val/loss", pytest.approx(0.5))


def test_without_a_best_checkpoint_the_first_callback_counts(task, data, make_trainer):
    others = [ModelCheckpoint(every_n_train_steps=n) for n in (1, 2)]
    assert checkpoint_callback_of(make_trainer(callbacks=others)) is others[0]
    assert checkpoint_callback_of(make_trainer(enable_checkpointing=False)) is None


@pytest.mark.parametrize("position", [0, 1], ids=["before", "after"])
def test_no_other_callback_replaces_the_checkpoint_to_resume_from(
    position, task, data, make_trainer
):
    callbacks = [BestCheckpoint()]
    callbacks.insert(position, ModelCheckpoint(every_n_train_steps=1, save_last=True))
    trainer = make_trainer(max_epochs=2, callbacks=callbacks)
    with pytest.raises(UserError, match=r"ModelCheckpoint would replace .*/checkpoints/last.ckpt"):
        trainer.fit(task(), data())


def test_a_second_fit_in_the_same_folder_overwrites(task, data, make_trainer):
    for losses in ([0.5, 0.6], [0.9, 0.8]):
        trainer = make_trainer(max_epochs=2, callbacks=BestCheckpoint())
        trainer.fit(task(val_losses=losses), data())
    assert checkpoint_names(trainer) == ["best.ckpt", "last.ckpt"]
    assert epoch_of(trainer.checkpoint_callback.best_model_path) == 1


def test_without_validation_the_last_epoch_is_the_best(task, data, make_trainer):
    callbacks = [BestCheckpoint(), ValidationEarlyStopping(1, patience_steps=0)]
    trainer = make_trainer(max_epochs=3, callbacks=callbacks, limit_val_batches=0)
    trainer.fit(task(), data())
    assert trainer.current_epoch == 3
    assert epoch_of(trainer.checkpoint_callback.best_model_path) == 2
    assert checkpoint_names(trainer) == ["best.ckpt", "last.ckpt"]


@pytest.mark.parametrize("moved", [False, True], ids=["same folder", "moved folder"])
def test_a_resumed_run_keeps_its_previous_best_checkpoint(task, data, make_trainer, moved):
    first = make_trainer(max_epochs=2, callbacks=BestCheckpoint())
    first.fit(task(val_losses=[0.9, 0.5]), data())
    folder = "elsewhere" if moved else "run"
    second = make_trainer(
        folder,
        max_epochs=4,
        callbacks=[BestCheckpoint(), ValidationEarlyStopping(2, patience_steps=0)],
    )
    if moved:
        shutil.move(first.default_root_dir, second.default_root_dir)
    last = Path(second.default_root_dir, "checkpoints", "last.ckpt")
    second.fit(task(val_losses=[9.0, 9.0, 0.8, 0.7]), data(), ckpt_path=str(last))
    best = second.checkpoint_callback.best_model_path
    assert Path(best).parents[1] == Path(second.default_root_dir)
    assert (epoch_of(best), epoch_of(last)) == (1, 3)


def test_a_run_resumed_in_a_new_folder_has_a_new_best_checkpoint(task, data, make_trainer):
    first = make_trainer(max_epochs=1, callbacks=BestCheckpoint())
    first.fit(task(val_losses=[0.5]), data())
    last = first.checkpoint_callback.last_model_path
    second = make_trainer("new", max_epochs=2, callbacks=BestCheckpoint())
    second.fit(task(val_losses=[9.0, 0.8]), data(), ckpt_path=last)
    assert checkpoint_names(first) == checkpoint_names(second) == ["best.ckpt", "last.ckpt"]
    assert epoch_of(second.checkpoint_callback.best_model_path) == 1


@pytest.mark.parametrize(("mode", "losses"), [("min", [3, 2, 4, 5]), ("max", [3, 4, 2, 1])])
def test_early_stopping_uses_the_monitor_of_the_module(task, data, make_trainer, mode, losses):
    model = task(val_losses=[float(x) for x in [*losses, 9, 9]])
    model.mode = mode
    trainer = make_trainer(
        max_epochs=6,
        callbacks=ValidationEarlyStopping(2, patience_steps=0),
        enable_checkpointing=False,
    )
    trainer.fit(model, data())
    assert trainer.current_epoch == 4


def test_early_stopping_logs_its_reason(task, data, make_trainer, caplog):
    caplog.set_level(logging.INFO, "rnn_lab")
    early_stopping = ValidationEarlyStopping(patience=1, patience_steps=0)
    trainer = make_trainer(max_epochs=6, callbacks=early_stopping, enable_checkpointing=False)
    trainer.fit(task(val_losses=[1.0, 2.0]), data())
    assert "stopped early: val/loss did not improve for 1 validations (best 1)" in caplog.messages


def test_early_stopping_has_no_effect_without_validation(task, data, make_trainer):
    options = {"limit_val_batches": 0, "enable_checkpointing": False}
    trainer = make_trainer(max_epochs=2, callbacks=ValidationEarlyStopping(), **options)
    trainer.fit(task(), data())
    assert trainer.current_epoch == 2


def test_a_patience_of_zero_is_refused():
    with pytest.raises(UserError, match="patience must be at least 1, got 0"):
        ValidationEarlyStopping(patience=0)
    with pytest.raises(UserError, match="patience_steps must be at least 0, got -1"):
        ValidationEarlyStopping(patience_steps=-1)


class Accuracies(TinyTask):
    """Log scripted accuracies, one per epoch, beside the scripted losses."""

    monitor, mode = "val/accuracy", "max"

    def __init__(self, accuracies, val_losses):
        super().__init__(val_losses)
        self.accuracies = accuracies

    def validation_step(self, batch, batch_idx):
        super().validation_step(batch, batch_idx)
        self.log("val/accuracy", self.accuracies[self.current_epoch], batch_size=4)


def fit_accuracies(make_trainer, accuracies, losses, folder="run", max_epochs=None, resume=None):
    callbacks = [BestCheckpoint(), ValidationEarlyStopping(2, patience_steps=0)]
    trainer = make_trainer(folder, max_epochs=max_epochs or len(losses), callbacks=callbacks)
    trainer.fit(Accuracies(accuracies, losses), TinyData(), ckpt_path=resume)
    return trainer


@pytest.mark.parametrize(
    ("accuracies", "losses", "best", "epochs"),
    [
        ([0.5, 1.0, 1.0, 1.0, 1.0], [0.9, 0.5, 0.4, 0.3, 0.2], 4, 5),  # the loss continues to fall
        ([0.5, 1.0, 1.0, 1.0, 1.0], [0.9, 0.5, 0.6, 0.7, 0.2], 1, 4),  # rises: stopped
        ([1.0, 1.0, 0.9, 0.9, 0.9], [0.9, 0.5, 0.1, 0.1, 0.1], 1, 4),  # worse accuracy: no tie
        ([0.0, 0.0, 0.0, 0.0, 0.0], [0.9, 0.5, 0.6, 0.6, 0.6], 1, 5),  # zeros do not stop
    ],
    ids=["falling", "rising", "worse", "zero"],
)
def test_ties_of_the_monitor_are_broken_by_the_loss(make_trainer, accuracies, losses, best, epochs):
    trainer = fit_accuracies(make_trainer, accuracies, losses)
    assert epoch_of(trainer.checkpoint_callback.best_model_path) == best
    assert trainer.current_epoch == epochs


@pytest.mark.parametrize("monitor", ["val/loss", "val/accuracy"])
def test_the_best_value_of_another_monitor_is_that_in_its_own_direction(make_trainer, monitor):
    accuracies, losses = [0.5, 0.6, 0.7, 0.8], [0.4, 0.3, 0.5, 0.6]
    stopping = ValidationEarlyStopping(2, monitor, patience_steps=0)
    trainer = make_trainer(max_epochs=4, callbacks=[BestCheckpoint(monitor), stopping])
    trainer.fit(Accuracies(accuracies, losses), TinyData())
    best = {"val/loss": 1, "val/accuracy": 3}[monitor]
    assert epoch_of(trainer.checkpoint_callback.best_model_path) == best
    assert trainer.current_epoch == 4


def test_a_resumed_run_breaks_ties_as_the_uninterrupted_one(make_trainer):
    accuracies, losses = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0], [0.9, 0.3, 0.5, 0.4, 0.2, 0.1]
    whole = fit_accuracies(make_trainer, accuracies, losses, "whole")
    assert whole.current_epoch == 4
    first = fit_accuracies(make_trainer, accuracies, losses, "parts", max_epochs=3)
    last = first.checkpoint_callback.last_model_path
    second = fit_accuracies(make_trainer, accuracies, losses, "parts", resume=last)
    assert second.current_epoch == 4
    assert epoch_of(second.checkpoint_callback.best_model_path) == 1
    assert counts_of(whole) == counts_of(second)


def counts_of(trainer):
    """Return what the callbacks of the last checkpoint count."""
    last = torch.load(trainer.checkpoint_callback.last_model_path, weights_only=True)
    names = ("best_loss", "best_step", "wait_count")
    states = last["callbacks"].values()
    return [(name, state[name]) for name in names for state in states if name in state]


def test_patience_also_counts_steps(make_trainer):
    losses = [0.5, *[0.9] * 9]
    early_stopping = ValidationEarlyStopping(2, patience_steps=10)
    trainer = make_trainer(max_epochs=10, callbacks=early_stopping, enable_checkpointing=False)
    trainer.fit(TinyTask(losses), TinyData())
    assert trainer.global_step == 2 + 10


def test_a_larger_patience_continues_a_stopped_run(make_trainer):
    losses = [0.5, *[0.9] * 9]
    for patience, epochs in ((1, 2), (4, 5)):
        callbacks = [BestCheckpoint(), ValidationEarlyStopping(patience, patience_steps=0)]
        trainer = make_trainer(max_epochs=10, callbacks=callbacks)
        last = Path(trainer.default_root_dir, "checkpoints", "last.ckpt")
        trainer.fit(TinyTask(losses), TinyData(), ckpt_path=str(last) if last.exists() else None)
        assert trainer.current_epoch == epochs


def test_a_nan_loss_stops_training_before_the_weights_change(task, data, make_trainer):
    model = task(nan_at=3)
    trainer = make_trainer(max_epochs=4, callbacks=[BestCheckpoint(), TerminateOnNaN()])
    with pytest.raises(UserError, match=r"step 3 \(epoch 2, batch 2\).*checkpoint is .*last.ckpt"):
        trainer.fit(model, data())
    assert epoch_of(trainer.checkpoint_callback.last_model_path) == 0
    assert model.layer.weight.isfinite().all()


def test_the_error_before_any_checkpoint_states_that_none_was_saved(task, data, make_trainer):
    trainer = make_trainer(max_epochs=1, callbacks=[BestCheckpoint(), TerminateOnNaN()])
    with pytest.raises(UserError, match=r"nan at step 0 .*: no checkpoint was saved yet"):
        trainer.fit(task(nan_at=0), data())


class DeferredChecks(TerminateOnNaN):
    """Check as on a GPU: not at the step itself."""

    def _checks_at_once(self, trainer, loss):
        return False


@pytest.mark.parametrize("nan_at", [2, 3])
def test_a_deferred_check_names_the_step_of_the_nan_and_precedes_checkpoints(
    task, data, make_trainer, nan_at
):
    trainer = make_trainer(max_epochs=4, callbacks=[BestCheckpoint(), DeferredChecks()])
    with pytest.raises(UserError, match=rf"loss is nan at step {nan_at} \(epoch 2"):
        trainer.fit(task(nan_at=nan_at), data())
    assert epoch_of(trainer.checkpoint_callback.last_model_path) == 0
    assert trainer.current_epoch == 1


def test_a_deferred_check_runs_after_the_given_number_of_batches(task, data, make_trainer):
    trainer = make_trainer(max_epochs=4, callbacks=DeferredChecks(every=1), limit_val_batches=0)
    with pytest.raises(UserError, match=r"loss is nan at step 2 "):
        trainer.fit(task(nan_at=2), data())
    assert trainer.global_step == 3


def test_a_nan_validation_loss_stops_training_before_the_checkpoint(task, data, make_trainer):
    trainer = make_trainer(max_epochs=3, callbacks=[BestCheckpoint(), TerminateOnNaN()])
    with pytest.raises(UserError, match=r"val/loss is nan after step 4: .*last.ckpt"):
        trainer.fit(task(val_losses=[0.5, math.nan]), data())
    assert epoch_of(trainer.checkpoint_callback.last_model_path) == 0


def test_nan_in_one_of_two_processes_stops_both(task, data, make_trainer):
    options = {"strategy": "ddp_fork", "devices": 2, "use_distributed_sampler": False}
    trainer = make_trainer(max_epochs=2, callbacks=[BestCheckpoint(), TerminateOnNaN()], **options)
    model = task(nan_at=1)
    model.nan_ranks = (1,)
    with pytest.raises(ProcessRaisedException, match=r"loss is nan at step 1 \(epoch 1, batch 2"):
        trainer.fit(model, data())
    assert not Path(trainer.default_root_dir, "checkpoints").exists()


def test_the_monitor_logs_learning_rate_and_gradient_norm_before_clipping(task, data, make_trainer):
    options = {"gradient_clip_val": 1e-4, "enable_checkpointing": False}
    trainer = make_trainer(max_epochs=1, callbacks=GradNormAndLRMonitor(), **options)
    model = task()
    expected = torch.autograd.grad(
        model.step((data().x[:4], data().y[:4])).loss, model.layer.weight
    )
    bias = torch.autograd.grad(model.step((data().x[:4], data().y[:4])).loss, model.layer.bias)
    trainer.fit(model, data())
    table = read_metrics(Path(trainer.default_root_dir, "metrics.csv"))
    norm = math.hypot(*[float(grad.norm()) for grad in (*expected, *bias)])
    assert table["train/gradient_norm"][0] == pytest.approx(norm, rel=1e-5)
    assert table["train/lr"] == [0.1, 0.1]


def test_the_monitor_computes_norms_only_at_logged_steps(task, data, make_trainer, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "rnn_lab.training.callbacks.get_total_norm", lambda g: calls.append(1) or torch.tensor(0.0)
    )
    options = {"log_every_n_steps": 2, "enable_checkpointing": False}
    make_trainer(max_epochs=3, callbacks=GradNormAndLRMonitor(), **options).fit(task(), data())
    assert len(calls) == 3


def test_all_callbacks_work_together_without_a_logger(task, data, make_trainer):
    callbacks = [
        BestCheckpoint(),
        ValidationEarlyStopping(),
        TerminateOnNaN(),
        GradNormAndLRMonitor(),
    ]
    trainer = make_trainer(max_epochs=1, callbacks=callbacks, logger=False)
    trainer.fit(task(), data())
    assert [type(logger) for logger in trainer.loggers] == [CSVMetricsLogger]
