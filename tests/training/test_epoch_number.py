"""Epochs have the same numbers in everything that a run shows and writes."""

import csv
import json
import re
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from rnn_lab.training import BestCheckpoint, EpochNumber, ResumeMidEpoch, StatusFile
from rnn_lab.training.epoch_number import epoch_number


def rows(trainer):
    with open(Path(trainer.default_root_dir, "metrics.csv"), newline="") as file:
        return list(csv.DictReader(file))


class Numbers(Callback):
    """Collect the number of the epoch in every step and at every end."""

    def __init__(self):
        self.of_steps, self.of_epochs = [], []

    def on_train_batch_start(self, trainer, *_):
        self.of_steps.append(epoch_number(trainer))

    def on_train_epoch_end(self, trainer, *_):
        self.of_epochs.append(epoch_number(trainer))


def test_epochs_are_counted_from_one_everywhere(task, data, make_trainer, tmp_path):
    names = ModelCheckpoint(
        tmp_path / "names", "{epoch}-{step}", every_n_train_steps=1, save_top_k=-1
    )
    callbacks = [EpochNumber(), Numbers(), StatusFile(), names, BestCheckpoint()]
    trainer = make_trainer(max_epochs=3, callbacks=callbacks, log_every_n_steps=2)
    trainer.fit(task(), data())
    assert callbacks[1].of_steps == [1, 1, 2, 2, 3, 3]
    assert callbacks[1].of_epochs == [1, 2, 3]
    assert {(row["step"], row["epoch"]) for row in rows(trainer)} == {
        ("1", "1"), ("3", "2"), ("5", "3")
    }  # fmt: skip
    saved = sorted(re.findall(r"epoch=(\d)-step=(\d)", str([*(tmp_path / "names").iterdir()])))
    assert saved == [(str(1 + step // 2), str(step + 1)) for step in range(6)]
    assert json.loads(Path(trainer.default_root_dir, "state.json").read_text())["epoch"] == 3
    assert callbacks[4].best_metrics["epoch"] in (1, 2, 3)
    trainer.test(trainer.lightning_module, datamodule=data(), verbose=False)
    assert rows(trainer)[-1]["epoch"] == "3"


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")
@pytest.mark.parametrize("step", [2, 3], ids=["between_epochs", "within_an_epoch"])
def test_a_resumed_run_continues_the_numbers(step, task, data, make_trainer, tmp_path):
    class Save(Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == step:
                trainer.save_checkpoint(tmp_path / "saved.ckpt")

    options = {"enable_checkpointing": False, "log_every_n_steps": 1, "max_epochs": 3}
    first = make_trainer("first", **options, callbacks=[EpochNumber(), ResumeMidEpoch(), Save()])
    first.fit(task(), data())
    trainer = make_trainer("second", **options, callbacks=[EpochNumber(), ResumeMidEpoch()])
    trainer.fit(task(), data(), ckpt_path=str(tmp_path / "saved.ckpt"))
    numbers = [(row["step"], row["epoch"]) for row in rows(trainer)]
    assert numbers == [(str(n), str(1 + n // 2)) for n in range(step, 6)]


def test_numbers_are_exact_in_half_precision(task, data, make_trainer):
    callback = EpochNumber()
    trainer = make_trainer(max_epochs=2, callbacks=callback, precision="bf16-true")
    trainer.fit_loop.epoch_progress.current.ready = 300
    trainer.fit_loop.epoch_progress.current.processed = 300
    trainer.fit_loop.epoch_progress.current.completed = 300
    trainer.fit_loop.max_epochs = 302
    model = task()
    model.step = lambda batch: type(model).step(model, [batch[0].to(torch.bfloat16), batch[1]])
    trainer.fit(model, data())
    assert {row["epoch"] for row in rows(trainer)} == {"301", "302"}
