"""Training for a given time."""

import math

import pytest
import torch
from lightning import LightningModule, Trainer
from torch.utils.data import DataLoader

from rnn_lab.errors import UserError
from rnn_lab.training import TimeBudget

SECONDS_A_STEP = 3.0


class Clock:
    """A clock that is moved by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Timed(LightningModule):
    """Every step takes the same time, and validation a long one."""

    def __init__(self, clock, scheduled=False):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.clock, self.scheduled, self.rates = clock, scheduled, []

    def training_step(self, batch, batch_idx):
        self.clock.now += SECONDS_A_STEP
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


def trained(tmp_path, model, budget, ckpt_path=None, **options):
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


def test_training_ends_in_the_step_that_spends_the_budget_validation_left_out(tmp_path, clock):
    model, budget = Timed(clock), TimeBudget(0.5)
    trainer = trained(tmp_path, model, budget)
    assert trainer.global_step == 30 / SECONDS_A_STEP
    assert budget.spent == pytest.approx(30)


def test_the_rate_falls_along_half_a_cosine(tmp_path, clock):
    model = Timed(clock)
    trained(tmp_path, model, TimeBudget(0.5))
    shares = [(1 + math.cos(math.pi * step / 10)) / 2 for step in range(10)]
    assert model.rates == pytest.approx([2 * (0.01 + 0.99 * share) for share in shares])


def test_it_goes_on_where_a_checkpoint_was_written(tmp_path, clock):
    whole = Timed(clock)
    trained(tmp_path, whole, TimeBudget(0.6))
    first = Timed(clock)
    stopped = trained(tmp_path, first, TimeBudget(0.6), max_steps=4)
    stopped.save_checkpoint(tmp_path / "half.ckpt")
    second, budget = Timed(clock), TimeBudget(0.6)
    trained(tmp_path, second, budget, tmp_path / "half.ckpt")
    assert budget.spent == pytest.approx(36)
    assert first.rates + second.rates == pytest.approx(whole.rates)


def test_another_schedule_beside_it_is_refused(tmp_path, clock):
    with pytest.raises(UserError, match="remove the scheduler"):
        trained(tmp_path, Timed(clock, scheduled=True), TimeBudget(0.5))


def test_a_rate_that_does_not_fall_is_left_to_the_task(tmp_path, clock):
    model, budget = Timed(clock, scheduled=True), TimeBudget(0.5, anneal_lr=False)
    trainer = trained(tmp_path, model, budget)
    assert trainer.global_step == 30 / SECONDS_A_STEP
    assert model.rates == pytest.approx([2 / 3] * 10)  # as ConstantLR has it in five epochs


@pytest.mark.parametrize("minutes", [0, -1.0, float("nan")])
def test_a_budget_of_nothing_is_refused(minutes):
    with pytest.raises(UserError, match="minutes must be above 0"):
        TimeBudget(minutes)
