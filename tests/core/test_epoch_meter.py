"""The mean loss of an epoch, whole or resumed, in one process or several."""

import pytest
import torch

from rnn_lab.core.epoch_meter import EpochMeter

BATCHES = [(0.5, 8), (1.5, 8), (4.0, 2)]


def fed(meter, batches):
    for loss, count in batches:
        meter.update(torch.tensor(loss, requires_grad=True), count)
    return meter


def started():
    meter = EpochMeter()
    meter.start_epoch()
    return meter


def alone(x):
    return x[None]


def test_the_loss_is_a_mean_over_targets_and_no_graph_is_kept():
    meter = fed(started(), BATCHES)
    assert not meter.reported
    found = meter.compute(alone)
    assert found["loss"].item() == pytest.approx((0.5 * 8 + 1.5 * 8 + 4.0 * 2) / 18)
    assert found["targets_per_second"] > 0
    assert meter.reported
    assert not found["loss"].requires_grad


@pytest.mark.parametrize("cut", range(len(BATCHES) + 1))
def test_a_resumed_epoch_gives_the_mean_of_the_whole_one(cut):
    whole = fed(started(), BATCHES).compute(alone)["loss"]
    saved = fed(started(), BATCHES[:cut]).state()
    resumed = EpochMeter()
    resumed.load_state(saved[None], rank=0, world_size=1)
    resumed.start_clock()
    assert torch.equal(fed(resumed, BATCHES[cut:]).compute(alone)["loss"], whole)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_other_processes_share_what_was_summed_without_counting_it_twice(world_size):
    states = torch.stack([fed(started(), BATCHES).state(), fed(started(), BATCHES[:1]).state()])
    meters = [EpochMeter() for _ in range(world_size)]
    for rank, meter in enumerate(meters):
        meter.load_state(states, rank, world_size)
        meter.start_clock()
    totals = sum(meter.state()[:2] for meter in meters)
    torch.testing.assert_close(totals, states[:, :2].sum(0))


def test_a_new_epoch_forgets_the_last_one():
    meter = fed(started(), BATCHES)
    meter.start_epoch()
    assert fed(meter, BATCHES[:1]).compute(alone)["loss"] == 0.5
