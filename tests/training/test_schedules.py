import io
import math

import pytest
import torch

from rnn_lab.errors import UserError
from rnn_lab.training import CosineDecay, LinearDecay


def rates(schedule_class, steps=10, **options):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = schedule_class(optimizer, **options)
    schedule.total_steps = steps
    seen = []
    for _ in range(steps + 2):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


@pytest.mark.parametrize("schedule_class", [CosineDecay, LinearDecay])
def test_the_rate_falls_from_its_highest_to_the_final_part_and_stays(schedule_class):
    seen = rates(schedule_class, final=0.1)
    assert seen[0] == 2.0
    assert seen[10:] == pytest.approx([0.2, 0.2])
    assert seen[:11] == sorted(seen[:11], reverse=True)


@pytest.mark.parametrize("schedule_class", [CosineDecay, LinearDecay])
def test_half_way_down_both_schedules_meet(schedule_class):
    assert rates(schedule_class, final=0.0)[5] == pytest.approx(1.0)


@pytest.mark.parametrize("schedule_class", [CosineDecay, LinearDecay])
def test_warmup_rises_to_the_highest_rate(schedule_class):
    seen = rates(schedule_class, warmup=0.4)
    assert seen[:5] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
    assert seen[5] < 2.0


def test_the_state_loads_as_weights_only_and_takes_the_new_end():
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
        rates(CosineDecay, **options)


@pytest.mark.parametrize("steps", [math.inf, -1, 0])
def test_training_without_an_end_is_refused(steps):
    schedule = CosineDecay(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0))
    with pytest.raises(UserError, match="set max_epochs or max_steps"):
        schedule.total_steps = steps


def test_stepping_without_a_known_end_is_refused():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = CosineDecay(optimizer)
    optimizer.step()
    with pytest.raises(ValueError, match="total_steps"):
        schedule.step()
