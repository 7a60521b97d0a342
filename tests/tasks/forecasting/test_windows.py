import copy
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from rnn_lab.errors import UserError
from rnn_lab.io.tables import as_chunks
from rnn_lab.tasks.forecasting.panel import scaling
from rnn_lab.tasks.forecasting.panel.builder import read_panel
from rnn_lab.tasks.forecasting.panel.panel import Panel, PanelConfig
from rnn_lab.tasks.forecasting.panel.scaling import Kind, Scaler
from rnn_lab.tasks.forecasting.windows import Bounds, Permutation, WindowBatchSampler, Windows

SIZES = (1, 2, 3, 7, 8, 9, 50, 129, 1000)
BATCHES = (1, 2, 3, 8, 64)
WORLDS = (1, 2, 3, 4)


def some_panel(*lengths: int, seed: int = 0) -> Panel:
    """Series of two targets with one covariate of each kind, some values missing."""
    rng = np.random.default_rng(seed)
    parts = [
        pd.DataFrame(
            {
                "id": f"s{n}",
                "a": rng.normal(5 * n, 1 + n, length),
                "b": rng.normal(-3, 2, length),
                "known": rng.normal(7, 3, length),
                "event": rng.choice(["no", "yes"], length),
                "observed": rng.normal(1, 9, length),
                "size": float(n),
            }
        )
        for n, length in enumerate(lengths)
    ]
    frame = pd.concat(parts, ignore_index=True)
    frame.loc[rng.random(len(frame)) < 0.1, ["a", "observed"]] = np.nan
    config = PanelConfig(
        None,
        "id",
        targets=["a", "b"],
        future_covariates=["known", "event"],
        past_covariates=["observed"],
        static_covariates=["size", "id"],
    )
    return read_panel(lambda: as_chunks(frame), config)


def windows_of(
    panel: Panel, past: int = 4, horizon: int = 3, stride: int = 1, kind: Kind = "standard"
) -> Windows:
    rows = np.stack([np.zeros_like(panel.lengths), panel.lengths], 1)
    scaler, _ = Scaler.fit(panel, panel.lengths, kind, season_length=2)
    bounds = Bounds.within(rows, past, horizon, stride, inside=True)
    return Windows(panel, scaler, bounds, past, horizon, stride)


def equal(one: torch.Tensor, other: np.ndarray) -> None:
    np.testing.assert_array_equal(one.numpy(), other)


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_a_batch_is_its_windows_cut_out_one_by_one(stride: int) -> None:
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


def test_values_are_scaled_by_their_series_and_can_be_brought_back() -> None:
    panel = some_panel(40, 25)
    raw, scaled = (windows_of(panel, kind=kind) for kind in ("none", "standard"))
    rows = np.arange(len(raw))
    given, made = raw[rows], scaled[rows]
    back = made.future * made.scale[:, None] + made.location[:, None]
    torch.testing.assert_close(back, given.future, equal_nan=True)
    assert (given.scale == 1).all()
    assert (given.location == 0).all()


@pytest.mark.parametrize("block", [3, 7, 1000])
def test_the_scaler_is_mean_and_deviation_of_training_rows_whatever_the_blocks(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "BLOCK", block)
    panel = some_panel(20, 9, 31)
    ends = np.array([14, 5, 22])
    scaler, notices = Scaler.fit(panel, ends, "standard", season_length=2)
    parts = [
        panel.values[o : o + e].astype(float) for o, e in zip(panel.offsets, ends, strict=False)
    ]
    for series, values in enumerate(parts):
        np.testing.assert_allclose(scaler.location[series], np.nanmean(values[:, :2], 0), rtol=1e-5)
        np.testing.assert_allclose(scaler.scale[series], np.nanstd(values[:, :2], 0), rtol=1e-5)
        apart = np.nanmean(np.abs(values[2:, :2] - values[:-2, :2]), 0) / scaler.scale[series]
        np.testing.assert_allclose(scaler.naive_mae[series], apart, rtol=1e-5)
    together = np.concatenate(parts)[:, 2:]
    means, deviations = np.nanmean(together, 0), np.nanstd(together, 0)
    assert panel.numeric.tolist() == [True, True, True, False, False, True]
    np.testing.assert_allclose(scaler.feature_location, [means[0], 0, 0, means[3]], rtol=1e-5)
    np.testing.assert_allclose(
        scaler.feature_scale, [deviations[0], 1, 1, deviations[3]], rtol=1e-5
    )
    np.testing.assert_allclose(scaler.static_location, [1])
    assert notices == []


def test_no_value_after_training_changes_the_scaler() -> None:
    panel = some_panel(20, 9)
    ends = np.array([14, 5])
    before = Scaler.fit(panel, ends, "standard", 2)[0].state_dict()
    changed = copy.deepcopy(panel)
    changed.values[14:20] = 1e9
    changed.values[25:] = np.nan
    assert repr(Scaler.fit(changed, ends, "standard", 2)[0].state_dict()) == repr(before)


def test_a_scaler_comes_back_from_plain_values() -> None:
    scaler, _ = Scaler.fit(some_panel(20, 9), np.array([14, 1]), "standard", 2)
    back = Scaler.from_state_dict(scaler.state_dict())
    for name, values in vars(scaler).items():
        np.testing.assert_array_equal(getattr(back, name), values)
        assert getattr(back, name).dtype == np.float32 == values.dtype


def test_a_constant_column_is_centered_not_scaled_and_told() -> None:
    panel = some_panel(20, 20)
    panel.values[20:34, 1] = 1e6 + 0.1
    scaler, notices = Scaler.fit(panel, np.array([14, 14]), "standard", 2)
    assert scaler.scale[1, 1] == 1
    assert scaler.location[1, 1] == np.float32(1e6 + 0.1)
    assert notices == ["b is constant in training in 1 series, first 's1': centered, not scaled"]


def test_a_series_without_training_values_is_scaled_like_all() -> None:
    panel = some_panel(20, 20)
    scaler, _ = Scaler.fit(panel, np.array([14, 0]), "standard", 2)
    np.testing.assert_array_equal(scaler.location[1], scaler.location[0])
    np.testing.assert_array_equal(scaler.scale[1], scaler.scale[0])
    assert np.isnan(scaler.naive_mae[1]).all()
    assert np.isfinite(scaler.scale).all()


def test_a_target_without_training_values_is_named() -> None:
    panel = some_panel(20)
    panel.values[:14, 1] = np.nan
    with pytest.raises(UserError, match="target 'b' has no value in the training rows"):
        Scaler.fit(panel, np.array([14]), "standard", 2)


def test_values_scaled_in_batches_are_those_scaled_in_memory(tmp_path: Path) -> None:
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
def test_windows_on_a_device_are_those_in_memory() -> None:
    windows, rows = windows_of(some_panel(20, 9, 31)), np.array([7, 0, 3])
    moved = windows.to(torch.device("cuda:0"))
    assert moved.values.is_cuda
    for one, other in zip(windows[rows], moved[rows], strict=True):
        torch.testing.assert_close(one, other.cpu(), rtol=0, atol=0, equal_nan=True)


def test_windows_stay_where_they_are_but_for_cuda() -> None:
    windows = windows_of(some_panel(20))
    assert windows.to(torch.device("cpu")) is windows


def test_gathering_leaves_the_series_as_they_are() -> None:
    windows = windows_of(some_panel(20))
    rows = np.array([0, 1])
    first = windows[rows]
    windows[rows].past.fill_(9)
    torch.testing.assert_close(windows[rows].past, first.past, equal_nan=True)


def test_a_window_may_forecast_what_was_never_observed() -> None:
    panel = some_panel(12)
    panel.values[4:7, :2] = np.nan
    assert windows_of(panel)[np.array([0])].future.isnan().all()


def test_windows_of_training_lie_inside_and_others_begin_with_their_rows() -> None:
    rows = np.array([[0, 20], [0, 6], [0, 0]])
    inside = Bounds.within(rows, 4, 3, inside=True)
    assert inside.firsts.tolist() == [4, 4, 4]
    assert inside.counts.tolist() == [14, 0, 0]
    later = Bounds.within(np.array([[20, 30], [2, 9], [9, 11]]), 4, 3)
    assert later.firsts.tolist() == [20, 4, 9]
    assert later.counts.tolist() == [8, 3, 0]


@pytest.mark.parametrize("size", [*range(1, 30), 99, 100, 101, 1000, 4097])
def test_a_permutation_gives_every_number_once(size: int) -> None:
    for seed in (0, 1):
        order = Permutation(size, (seed, 0))(np.arange(size))
        assert sorted(order) == list(range(size))


def test_a_permutation_leaves_no_trace_of_its_order() -> None:
    size = 10_000
    order = Permutation(size, (0, 3))(np.arange(size))
    assert abs(np.corrcoef(order, np.arange(size))[0, 1]) < 0.05
    assert abs(np.corrcoef(order[1:], order[:-1])[0, 1]) < 0.05
    steps = np.diff(order)
    assert len(np.unique(steps)) > size / 2
    halves = (order.reshape(-1, 100) < size / 2).mean(1)
    assert abs(halves.std() - 0.05) < 0.01  # as of independent draws


def test_a_permutation_of_more_than_memory_holds_is_read_in_places() -> None:
    size = 10**12 + 39
    some = Permutation(size, (0, 0))(np.arange(0, size, 10**9))
    assert len(np.unique(some)) == len(some)
    assert 0 <= some.min() < some.max() < size


def ranks(rows: int, batch: int, world: int, shuffle: bool) -> list[WindowBatchSampler]:
    return [
        WindowBatchSampler(rows, batch, shuffle=shuffle, rank=rank, world_size=world)
        for rank in range(world)
    ]


@pytest.mark.parametrize("world", WORLDS)
def test_in_training_every_window_is_read_once_in_as_many_batches_by_every_process(
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
def test_in_evaluation_windows_come_in_order_dealt_to_the_processes_in_turn(world: int) -> None:
    for rows, batch in product(SIZES, BATCHES):
        plans = [order.plan() for order in ranks(rows, batch, world, shuffle=False)]
        longest = max(map(len, plans))
        turns = [plan[turn] for turn in range(longest) for plan in plans if turn < len(plan)]
        np.testing.assert_array_equal(np.concatenate(turns), np.arange(rows))
        assert all(1 <= len(one) <= batch for one in turns)
        assert rows < world or all(plans)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("world", WORLDS)
def test_the_number_of_batches_is_known_before_they_are_planned(world: int, shuffle: bool) -> None:
    for rows, batch in product(SIZES, BATCHES):
        if rows >= world:
            for order in ranks(rows, batch, world, shuffle):
                assert len(order) == len(list(order))


def test_processes_share_the_batches_that_one_process_would_read() -> None:
    (alone,) = ranks(100, 16, 1, shuffle=True)
    pairs = zip(*(order.plan(2) for order in ranks(100, 8, 2, shuffle=True)), strict=True)
    for batch, (first, second) in zip(alone.plan(2), pairs, strict=True):
        assert set(batch) == set(first) | set(second)


def test_an_epoch_is_a_function_of_seed_and_epoch() -> None:
    def drawn(seed: int, epoch: int) -> list[list[int]]:
        order = WindowBatchSampler(500, 8, shuffle=True, seed=seed)
        return [rows.tolist() for rows in order.plan(epoch)]

    assert drawn(0, 0) == drawn(0, 0)
    assert len({str(drawn(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


def test_an_epoch_goes_on_from_a_start_and_the_next_is_whole() -> None:
    order = WindowBatchSampler(100, 8, shuffle=True)
    order.set_epoch(4)
    whole = [rows.tolist() for rows in order]
    assert whole == [rows.tolist() for rows in order.plan(4)]
    order.start = 5
    assert [rows.tolist() for rows in order] == whole[5:]
    assert [rows.tolist() for rows in order] == whole


def test_wrong_sizes_are_named() -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        WindowBatchSampler(3, 0, shuffle=True)
    with pytest.raises(ValueError, match="cannot train 4 processes on 3 windows"):
        WindowBatchSampler(3, 1, shuffle=True, world_size=4)
