import io
import math

import pytest
import torch

from rnn_lab.errors import UserError
from rnn_lab.training import CosineDecay, LinearDecay


def learning_rates(schedule_class, steps=10, **options):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = schedule_class(optimizer, **options)
    schedule.total_steps = steps
    rates = []
    for _ in range(steps + 2):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize("schedule_class", [CosineDecay, LinearDecay])
def test_the_rate_decays_from_its_peak_to_the_final_fraction_and_stays(schedule_class):
    rates = learning_rates(schedule_class, final=0.1)
    assert rates[0] == 2.0
    assert rates[10:] == pytest.approx([0.2, 0.2])
    assert rates[:11] == sorted(rates[:11], reverse=True)


@pytest.mark.parametrize("schedule_class", [CosineDecay, LinearDecay])
def test_both_schedules_are_equal_at_half_of_the_decay(schedule_class):
    assert learning_rates(schedule_class, final=0.0)[5] == pytest.approx(1.0)


@pytest.mark.parametrize("schedule_class", [CosineDecay, LinearDecay])
def test_warmup_increases_to_the_peak_rate(schedule_class):
    rates = learning_rates(schedule_class, warmup=0.4)
    assert rates[:5] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
    assert rates[5] < 2.0


def test_a_resumed_schedule_uses_the_new_number_of_steps():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = LinearDecay(optimizer, final=0.0)
    schedule.total_steps = 10
    for _ in range(5):
        optimizer.step()
        schedule.step()
    file = io.BytesIO()
    torch.save(schedule.state_dict(), file)
    file.seek(0)
    resumed = LinearDecay(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0), final=0.0)
    resumed.total_steps = 20
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert resumed.last_epoch == 5
    assert resumed.get_lr() == [0.75]


@pytest.mark.parametrize("options", [{"warmup": 1.0}, {"warmup": -0.1}, {"final": 1.5}])
def test_fractions_outside_their_range_are_refused(options):
    with pytest.raises(UserError, match=r"CosineDecay: (warmup|final) must be a fraction"):
        learning_rates(CosineDecay, **options)


@pytest.mark.parametrize("steps", [math.inf, -1, 0])
def test_training_without_a_number_of_steps_is_refused(steps):
    schedule = CosineDecay(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0))
    with pytest.raises(UserError, match="set max_epochs or max_steps"):
        schedule.total_steps = steps


def test_stepping_without_total_steps_is_refused():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = CosineDecay(optimizer)
    optimizer.step()
    with pytest.raises(ValueError, match="total_steps"):
        schedule.step()
