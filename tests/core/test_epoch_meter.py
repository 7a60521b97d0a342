"""The mean loss of an epoch, uninterrupted or resumed, in one process or several."""

import pytest
import torch

from rnn_lab.core.epoch_meter import EpochMeter

BATCHES = [(0.5, 8), (1.5, 8), (4.0, 2)]


def update(meter, batches):
    for loss, count in batches:
        meter.update(torch.tensor(loss, requires_grad=True), count)
    return meter


def test_targets_may_be_counted_on_the_device():
    counted = [(loss, torch.tensor(count)) for loss, count in BATCHES]
    ours, expected = update(new_meter(), counted), update(new_meter(), BATCHES)
    assert torch.equal(ours.state()[:2], expected.state()[:2])
    metrics = ours.compute(one_process)
    assert metrics["loss"] == expected.compute(one_process)["loss"]


def new_meter():
    meter = EpochMeter()
    meter.start_epoch()
    return meter


def one_process(x):
    return x[None]


def test_the_loss_is_a_mean_over_targets_without_a_graph():
    meter = update(new_meter(), BATCHES)
    assert not meter.reported
    metrics = meter.compute(one_process)
    assert metrics["loss"].item() == pytest.approx((0.5 * 8 + 1.5 * 8 + 4.0 * 2) / 18)
    assert metrics["targets_per_second"] > 0
    assert meter.reported
    assert not metrics["loss"].requires_grad


@pytest.mark.parametrize("cut", range(len(BATCHES) + 1))
def test_a_resumed_epoch_has_the_mean_of_an_uninterrupted_one(cut):
    expected = update(new_meter(), BATCHES).compute(one_process)["loss"]
    saved = update(new_meter(), BATCHES[:cut]).state()
    resumed = EpochMeter()
    resumed.load_state(saved[None], rank=0, world_size=1)
    resumed.start_clock()
    assert torch.equal(update(resumed, BATCHES[cut:]).compute(one_process)["loss"], expected)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_sums_are_counted_once_if_the_number_of_processes_changes(world_size):
    states = torch.stack(
        [update(new_meter(), BATCHES).state(), update(new_meter(), BATCHES[:1]).state()]
    )
    meters = [EpochMeter() for _ in range(world_size)]
    for rank, meter in enumerate(meters):
        meter.load_state(states, rank, world_size)
        meter.start_clock()
    totals = sum(meter.state()[:2] for meter in meters)
    torch.testing.assert_close(totals, states[:, :2].sum(0))


def test_a_new_epoch_resets_the_sums():
    meter = update(new_meter(), BATCHES)
    meter.start_epoch()
    assert update(meter, BATCHES[:1]).compute(one_process)["loss"] == 0.5
