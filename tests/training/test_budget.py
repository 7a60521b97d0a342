"""Training stops after a time budget, and the learning rate is annealed over it."""

import math

import pytest
import torch
from lightning import LightningModule, Trainer
from torch.utils.data import DataLoader

from rnn_lab.errors import UserError
from rnn_lab.training import TimeBudget

SECONDS_PER_STEP = 3.0


class Clock:
    """A clock that tests set."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Timed(LightningModule):
    """A model whose steps take equal time, and whose validation takes long."""

    def __init__(self, clock, scheduled=False):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.clock, self.scheduled, self.rates = clock, scheduled, []

    def training_step(self, batch, batch_idx):
        self.clock.now += SECONDS_PER_STEP
        self.rates.append(self.optimizers().param_groups[0]["lr"])
        return self.weight.sum()

    def validation_step(self, batch, batch_idx):
        self.clock.now += 1000.0

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=2.0)
        if not self.scheduled:
            return optimizer
        return [optimizer], [torch.optim.lr_scheduler.ConstantLR(optimizer)]


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("rnn_lab.training.budget.time.process_time", clock)
    return clock


def train(tmp_path, model, budget, ckpt_path=None, **options):
    batches = DataLoader(torch.zeros(4, 1), batch_size=1)
    trainer = Trainer(
        max_epochs=-1,
        accelerator="cpu",
        callbacks=[budget],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        **{"enable_checkpointing": False, **options},
    )
    trainer.fit(model, batches, batches, ckpt_path=ckpt_path, weights_only=True)
    return trainer


def test_training_ends_with_the_step_that_exceeds_the_budget_without_validation(tmp_path, clock):
    model, budget = Timed(clock), TimeBudget(0.5)
    trainer = train(tmp_path, model, budget)
    assert trainer.global_step == 30 / SECONDS_PER_STEP
    assert budget.spent == pytest.approx(30)


def test_the_learning_rate_follows_half_a_cosine(tmp_path, clock):
    model = Timed(clock)
    train(tmp_path, model, TimeBudget(0.5))
    cosine = [(1 + math.cos(math.pi * step / 10)) / 2 for step in range(10)]
    assert model.rates == pytest.approx([2 * (0.01 + 0.99 * factor) for factor in cosine])


def test_a_resumed_run_continues_its_budget(tmp_path, clock):
    whole = Timed(clock)
    train(tmp_path, whole, TimeBudget(0.6))
    first = Timed(clock)
    stopped = train(tmp_path, first, TimeBudget(0.6), max_steps=4)
    stopped.save_checkpoint(tmp_path / "half.ckpt")
    second, budget = Timed(clock), TimeBudget(0.6)
    train(tmp_path, second, budget, tmp_path / "half.ckpt")
    assert budget.spent == pytest.approx(36)
    assert first.rates + second.rates == pytest.approx(whole.rates)


def test_a_task_with_a_schedule_is_refused(tmp_path, clock):
    with pytest.raises(UserError, match="remove the scheduler"):
        train(tmp_path, Timed(clock, scheduled=True), TimeBudget(0.5))


def test_without_annealing_the_schedule_of_the_task_is_used(tmp_path, clock):
    model, budget = Timed(clock, scheduled=True), TimeBudget(0.5, anneal_lr=False)
    trainer = train(tmp_path, model, budget)
    assert trainer.global_step == 30 / SECONDS_PER_STEP
    assert model.rates == pytest.approx([2 / 3] * 10)  # ConstantLR in its first five epochs


@pytest.mark.parametrize("minutes", [0, -1.0, float("nan")])
def test_a_budget_that_is_not_positive_is_refused(minutes):
    with pytest.raises(UserError, match="minutes must be above 0"):
        TimeBudget(minutes)
