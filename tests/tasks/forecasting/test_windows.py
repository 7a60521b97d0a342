"""Windows, their sampler and its permutation."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from covariate_panels import some_panel

from rnn_lab.tasks.forecasting.panel.panel import Panel
from rnn_lab.tasks.forecasting.panel.scaling import Kind, Scaler
from rnn_lab.tasks.forecasting.windows import Bounds, Permutation, WindowBatchSampler, Windows

SIZES = (1, 2, 3, 7, 8, 9, 50, 129, 1000)


BATCHES = (1, 2, 3, 8, 64)


WORLDS = (1, 2, 3, 4)


def windows_of(
    panel: Panel, past: int = 4, horizon: int = 3, stride: int = 1, kind: Kind = "standard"
) -> Windows:
    rows = np.stack([np.zeros_like(panel.lengths), panel.lengths], 1)
    scaler, _ = Scaler.fit(panel, panel.lengths, kind, season_length=2)
    bounds = Bounds.within(rows, past, horizon, stride, inside=True)
    return Windows(panel, scaler, bounds, past, horizon, stride)


def equal(one: torch.Tensor, other: np.ndarray) -> None:
    np.testing.assert_array_equal(one.numpy(), other)


def ranks(rows: int, batch: int, world: int, shuffle: bool) -> list[WindowBatchSampler]:
    return [
        WindowBatchSampler(rows, batch, shuffle=shuffle, rank=rank, world_size=world)
        for rank in range(world)
    ]


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_a_batch_equals_its_windows_cut_one_by_one(stride: int) -> None:
    panel = some_panel(20, 6, 7, 30)  # the second is too short
    windows = windows_of(panel, stride=stride, kind="none")
    cut = [
        (series, first)
        for series, length in enumerate(panel.lengths)
        for first in range(0, length - 6, stride)
    ]
    assert len(windows) == len(cut)
    rows = np.random.default_rng(0).permutation(len(cut))
    batch = windows[rows]
    equal(batch.rows, rows)
    series, origins = windows.origin(rows)
    for n, row in enumerate(rows):
        assert (series[n], origins[n] - 4) == cut[row]
        start = panel.offsets[series[n]] + cut[row][1]
        values = panel.values[start : start + 7]
        equal(batch.past[n], values[:4, :2])
        equal(batch.future[n], values[4:, :2])
        equal(batch.past_features[n], values[:4, 2:])
        equal(batch.future_features[n], values[4:, 2:5])
        equal(batch.static[n], panel.static[series[n]])
        equal(batch.category_codes[n], panel.category_codes[series[n]])
        assert windows.times(row).tolist() == [cut[row][1] + 4 + step for step in range(3)]


def test_values_are_scaled_per_series_and_can_be_converted_back() -> None:
    panel = some_panel(40, 25)
    raw, scaled = (windows_of(panel, kind=kind) for kind in ("none", "standard"))
    rows = np.arange(len(raw))
    original, result = raw[rows], scaled[rows]
    back = result.to_units(result.future)
    torch.testing.assert_close(back, original.future, equal_nan=True)
    assert (original.scale == 1).all()
    assert (original.location == 0).all()


def test_memory_mapped_values_are_scaled_in_batches_as_in_memory(tmp_path: Path) -> None:
    panel = some_panel(20, 9, 31)
    memory = windows_of(panel)
    panel.values.tofile(tmp_path / "rows")
    values = np.memmap(tmp_path / "rows", np.float32, "c", shape=panel.values.shape)
    mapped = windows_of(replace(panel, values=values))
    assert (memory.flat.scaled, mapped.flat.scaled) == (True, False)
    rows = np.arange(len(memory))[::-1].copy()
    for one, other in zip(memory[rows], mapped[rows], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_windows_on_a_device_equal_those_in_memory() -> None:
    windows, rows = windows_of(some_panel(20, 9, 31)), np.array([7, 0, 3])
    moved = windows.to(torch.device("cuda:0"))
    assert moved.values.is_cuda
    for one, other in zip(windows[rows], moved[rows], strict=True):
        torch.testing.assert_close(one, other.cpu(), rtol=0, atol=0, equal_nan=True)


def test_windows_are_moved_to_cuda_only() -> None:
    windows = windows_of(some_panel(20))
    assert windows.to(torch.device("cpu")) is windows


def test_a_batch_does_not_share_memory_with_the_series() -> None:
    windows = windows_of(some_panel(20))
    rows = np.array([0, 1])
    first = windows[rows]
    windows[rows].past.fill_(9)
    torch.testing.assert_close(windows[rows].past, first.past, equal_nan=True)


def test_a_window_may_have_no_observed_future() -> None:
    panel = some_panel(12)
    panel.values[4:7, :2] = np.nan
    assert windows_of(panel)[np.array([0])].future.isnan().all()


def test_training_windows_are_within_their_rows_and_others_start_before_them() -> None:
    rows = np.array([[0, 20], [0, 6], [0, 0]])
    inside = Bounds.within(rows, 4, 3, inside=True)
    assert inside.firsts.tolist() == [4, 4, 4]
    assert inside.counts.tolist() == [14, 0, 0]
    later = Bounds.within(np.array([[20, 30], [2, 9], [9, 11]]), 4, 3)
    assert later.firsts.tolist() == [20, 4, 9]
    assert later.counts.tolist() == [8, 3, 0]


@pytest.mark.parametrize("size", [*range(1, 30), 99, 100, 101, 1000, 4097])
def test_a_permutation_contains_every_number_once(size: int) -> None:
    for seed in (0, 1):
        order = Permutation(size, (seed, 0))(np.arange(size))
        assert sorted(order) == list(range(size))


def test_a_permutation_looks_random() -> None:
    size = 10_000
    order = Permutation(size, (0, 3))(np.arange(size))
    assert abs(np.corrcoef(order, np.arange(size))[0, 1]) < 0.05
    assert abs(np.corrcoef(order[1:], order[:-1])[0, 1]) < 0.05
    steps = np.diff(order)
    assert len(np.unique(steps)) > size / 2
    halves = (order.reshape(-1, 100) < size / 2).mean(1)
    assert abs(halves.std() - 0.05) < 0.01  # as of independent draws


def test_a_permutation_larger_than_memory_is_evaluated_element_by_element() -> None:
    size = 10**12 + 39
    some = Permutation(size, (0, 0))(np.arange(0, size, 10**9))
    assert len(np.unique(some)) == len(some)
    assert 0 <= some.min() < some.max() < size


@pytest.mark.parametrize("world", WORLDS)
def test_in_training_every_window_is_read_once_and_processes_get_equally_many_batches(
    world: int,
) -> None:
    for rows, batch in product(SIZES, BATCHES):
        if rows >= world:
            plans = [order.plan(epoch=3) for order in ranks(rows, batch, world, shuffle=True)]
            assert len({len(plan) for plan in plans}) == 1
            batches = [rows for plan in plans for rows in plan]
            assert sorted(np.concatenate(batches)) == list(range(rows))
            assert all(1 <= len(one) <= batch + 1 for one in batches)  # a small rest joins the last


@pytest.mark.parametrize("world", WORLDS)
def test_in_evaluation_ordered_batches_are_dealt_to_the_processes_in_turn(world: int) -> None:
    for rows, batch in product(SIZES, BATCHES):
        plans = [order.plan() for order in ranks(rows, batch, world, shuffle=False)]
        longest = max(map(len, plans))
        turns = [plan[turn] for turn in range(longest) for plan in plans if turn < len(plan)]
        np.testing.assert_array_equal(np.concatenate(turns), np.arange(rows))
        assert all(1 <= len(one) <= batch for one in turns)
        assert rows < world or all(plans)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("world", WORLDS)
def test_the_length_of_the_sampler_is_its_number_of_batches(world: int, shuffle: bool) -> None:
    for rows, batch in product(SIZES, BATCHES):
        if rows >= world:
            for order in ranks(rows, batch, world, shuffle):
                assert len(order) == len(list(order))


def test_processes_share_the_batches_of_a_single_process() -> None:
    (alone,) = ranks(100, 16, 1, shuffle=True)
    pairs = zip(*(order.plan(2) for order in ranks(100, 8, 2, shuffle=True)), strict=True)
    for batch, (first, second) in zip(alone.plan(2), pairs, strict=True):
        assert set(batch) == set(first) | set(second)


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    def randn(seed: int, epoch: int) -> list[list[int]]:
        order = WindowBatchSampler(500, 8, shuffle=True, seed=seed)
        return [rows.tolist() for rows in order.plan(epoch)]

    assert randn(0, 0) == randn(0, 0)
    assert len({str(randn(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


def test_a_sampler_resumes_within_an_epoch_once() -> None:
    order = WindowBatchSampler(100, 8, shuffle=True)
    order.set_epoch(4)
    expected = [rows.tolist() for rows in order]
    assert expected == [rows.tolist() for rows in order.plan(4)]
    order.start = 5
    assert [rows.tolist() for rows in order] == expected[5:]
    assert [rows.tolist() for rows in order] == expected


def test_invalid_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        WindowBatchSampler(3, 0, shuffle=True)
    with pytest.raises(ValueError, match="cannot train 4 processes on 3 windows"):
        WindowBatchSampler(3, 1, shuffle=True, world_size=4)
