"""What the Trainer costs."""

import json
from types import SimpleNamespace

import pytest
import torch

from rnn_lab.benchmarks import trainer
from rnn_lab.benchmarks.comparison import check_equal
from rnn_lab.benchmarks.settings import Settings
from rnn_lab.errors import UserError

OPTIONS = {"data": "SyntheticReviews", "device": "cpu", "bfloat16": False, "steps": 2}
OPTIONS |= {"embedding_dim": 4, "hidden_dim": 8, "bidirectional": True}


@pytest.mark.slow
def test_the_command_trains_like_the_bare_loop():
    comparison = next(trainer.comparisons(Settings(quick=True)))
    built = trainer.build(OPTIONS, ["bare loop", "rnn-lab fit"])
    check_equal(comparison, {name: each.values() for name, each in built.items()})
    for each in built.values():
        seconds, items = each.run(0)
        assert seconds > 0
        assert items == 2


def test_the_warm_up_is_not_counted():
    def train(steps):
        seconds = [9.0] * trainer.WARM_UP + [1.0, 3.0]
        begins = [sum(seconds[:n]) for n in range(steps)]
        return trainer.Steps(begins, 0.5)

    training = trainer.Training(train, 2)
    assert training.run(0) == (4.0, 2)
    assert training.values() == [0.5]
    assert training.megabytes("cpu") is None


def test_the_bare_loop_repeats_and_notes_each_step():
    first, second = (trainer.bare_loop(OPTIONS, 3) for _ in range(2))
    assert first.loss == second.loss
    assert len(first.begins) == 3


def test_times_and_loss_are_written(tmp_path):
    times = trainer.StepTimes(str(tmp_path / "steps.json"))
    for number in range(2):
        times.on_train_batch_start(None, None, None, number)
        times.on_train_batch_end(None, None, {"loss": torch.tensor(float(number))}, None, number)
    other, first = (SimpleNamespace(is_global_zero=zero) for zero in (False, True))
    times.on_train_end(other, None)
    assert not (tmp_path / "steps.json").exists()
    times.on_train_end(first, None)
    written = json.loads((tmp_path / "steps.json").read_text())
    assert written == {"begins": times.begins, "loss": 1.0}
    assert times.begins[0] < times.begins[1]


def test_a_failing_command_is_reported(monkeypatch):
    monkeypatch.setattr(trainer.sys, "executable", "false")
    with pytest.raises(UserError, match=r"^rnn-lab fit failed: no message"):
        trainer.fit_by_command(OPTIONS, 2)
