"""The cost of training is written when it ends, and continues when a run resumes."""

import json
import time
from pathlib import Path

import pytest
from every_model import build_model, data_of
from lightning.pytorch.callbacks import Callback

from rnn_lab.io.run_files import COST
from rnn_lab.training import BestCheckpoint, CostRecord


class Spend(Callback):
    """Spend processor time in each step, and stop at one with an error."""

    def __init__(self, seconds=0.0, stop=None):
        self.seconds, self.stop = seconds, stop

    def on_train_batch_end(self, trainer, *_):
        until = time.process_time() + self.seconds
        while time.process_time() < until:
            pass
        if trainer.global_step == self.stop:
            raise ValueError("stop")


def read(trainer):
    return json.loads(Path(trainer.default_root_dir, COST).read_text())


@pytest.fixture
def fitted(task, data, make_trainer):
    def fit(*callbacks, ckpt_path=None, **options):
        callbacks = [CostRecord(), BestCheckpoint(), *callbacks]
        trainer = make_trainer(callbacks=callbacks, **{"max_epochs": 2, **options})
        module = task()
        trainer.fit(module, data(), ckpt_path=ckpt_path)
        return trainer, module

    return fit


def test_time_and_size_are_those_of_training(fitted):
    before = time.monotonic()
    trainer, module = fitted(Spend(0.01))
    cost = read(trainer)
    assert cost["steps"] == trainer.global_step == 4
    assert cost["processor_seconds"] >= 0.04
    assert 0.04 <= cost["seconds"] <= time.monotonic() - before
    assert cost["parameters"] == sum(p.numel() for p in module.parameters())
    assert cost["peak_memory"] > 1 << 20
    assert cost["environment"]["processes"] == 1


def test_a_resumed_run_adds_to_the_time_of_its_checkpoint(fitted):
    first, _ = fitted(Spend(0.05))
    checkpoint = Path(first.default_root_dir, "checkpoints", "last.ckpt")
    second, _ = fitted(ckpt_path=checkpoint, max_epochs=3)
    assert read(second)["processor_seconds"] >= 0.2


def test_a_complete_run_that_is_resumed_keeps_its_cost(fitted):
    first, _ = fitted()
    checkpoint = Path(first.default_root_dir, "checkpoints", "last.ckpt")
    before = Path(first.default_root_dir, COST).read_text()
    fitted(ckpt_path=checkpoint, default_root_dir=first.default_root_dir)
    assert Path(first.default_root_dir, COST).read_text() == before


def test_an_interrupted_run_has_its_cost(fitted, tmp_path):
    with pytest.raises(ValueError, match="stop"):
        fitted(Spend(stop=1))
    (path,) = tmp_path.rglob(COST)
    assert json.loads(path.read_text())["steps"] == 1


def test_a_dry_run_and_a_test_write_nothing(fitted, task, data, make_trainer):
    trainer, _ = fitted(fast_dev_run=True)
    assert not Path(trainer.default_root_dir, COST).exists()
    trainer = make_trainer(callbacks=[CostRecord()])
    trainer.test(task(), data(), verbose=False)
    assert not Path(trainer.default_root_dir, COST).exists()


def test_the_data_have_a_version_if_it_is_known(make_trainer):
    model = build_model("TextClassifier")
    data = data_of(model.batch_type)
    trainer = make_trainer(callbacks=[CostRecord()], max_epochs=1)
    trainer.fit(model, data)
    recorded = read(trainer)["data"]
    assert recorded == {"version": data.data_version(), "train_rows": len(data.split("train"))}
    assert len(recorded["version"]) == 64
