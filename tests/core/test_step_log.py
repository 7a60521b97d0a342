"""Metrics of steps are logged as by `self.log`."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule
from tiny import TinyTask

from rnn_lab.core.step_log import log_step


def log_plainly(module, name, value, *, prog_bar=False):
    module.log(name, value, prog_bar=prog_bar, on_step=True, on_epoch=False)


class Logs(Callback):
    """Logs in two hooks, tensors and numbers, in some steps or in all."""

    def __init__(self, log, every):
        self.write, self.every, self.shown = log, every, []

    def on_before_optimizer_step(self, trainer, module, optimizer):
        if trainer.global_step % self.every == 0:
            self.write(module, "norm", module.layer.weight.norm())
            self.write(module, "number", 1 / (1 + trainer.global_step), prog_bar=True)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.write(module, "loss", outputs["loss"])
        self.shown.append(dict(trainer.progress_bar_metrics))
        self.shown.append(dict(trainer.callback_metrics))


@pytest.mark.parametrize("every", [1, 3])
def test_a_run_logs_the_same_as_with_self_log(every, task, data, make_trainer):
    shown, tables = [], []
    for log in (log_step, log_plainly):
        torch.manual_seed(0)
        logs = Logs(log, every)
        options = {"max_epochs": 3, "callbacks": logs, "enable_checkpointing": False}
        trainer = make_trainer(folder=log.__name__, **options)
        trainer.fit(TinyTask(), data())
        shown.append(logs.shown)
        tables.append(Path(trainer.default_root_dir, "metrics.csv").read_text())
    assert shown[0] == shown[1]
    assert tables[0] == tables[1]
    assert "number" in tables[0]


def test_most_steps_do_not_call_self_log(task, data, make_trainer, monkeypatch):
    calls, log = [], LightningModule.log

    def counted(self, name, *args, **kwargs):
        calls.append(name)
        log(self, name, *args, **kwargs)

    monkeypatch.setattr(LightningModule, "log", counted)
    options = {"max_epochs": 3, "callbacks": Logs(log_step, 1), "enable_checkpointing": False}
    make_trainer(**options).fit(task(), data())
    assert calls.count("number") == 3  # once per epoch of two steps


def test_without_a_trainer_it_warns_as_self_log(task):
    with pytest.warns(UserWarning, match="not registered"):
        log_step(task(), "loss", torch.tensor(0.0))
