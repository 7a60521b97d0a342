"""Scaling statistics of training rows."""

import copy

import numpy as np
import pytest
from covariate_panels import some_panel

from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting.panel import scaling
from rnn_lab.tasks.forecasting.panel.scaling import Scaler


@pytest.mark.parametrize("block", [3, 7, 1000])
def test_statistics_are_those_of_the_training_rows_for_any_block_size(
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
        naive_mae = np.nanmean(np.abs(values[2:, :2] - values[:-2, :2]), 0) / scaler.scale[series]
        np.testing.assert_allclose(scaler.naive_mae[series], naive_mae, rtol=1e-5)
    together = np.concatenate(parts)[:, 2:]
    means, deviations = np.nanmean(together, 0), np.nanstd(together, 0)
    assert panel.numeric.tolist() == [True, True, True, False, False, True]
    np.testing.assert_allclose(scaler.feature_location, [means[0], 0, 0, means[3]], rtol=1e-5)
    np.testing.assert_allclose(
        scaler.feature_scale, [deviations[0], 1, 1, deviations[3]], rtol=1e-5
    )
    np.testing.assert_allclose(scaler.static_location, [1])
    assert notices == []


def test_values_after_training_do_not_change_the_scaler() -> None:
    panel = some_panel(20, 9)
    ends = np.array([14, 5])
    before = Scaler.fit(panel, ends, "standard", 2)[0].state_dict()
    changed = copy.deepcopy(panel)
    changed.values[14:20] = 1e9
    changed.values[25:] = np.nan
    assert repr(Scaler.fit(changed, ends, "standard", 2)[0].state_dict()) == repr(before)


def test_a_scaler_is_restored_from_plain_values() -> None:
    scaler, _ = Scaler.fit(some_panel(20, 9), np.array([14, 1]), "standard", 2)
    back = Scaler.from_state_dict(scaler.state_dict())
    for name, values in vars(scaler).items():
        np.testing.assert_array_equal(getattr(back, name), values)
        assert getattr(back, name).dtype == np.float32 == values.dtype


def test_a_constant_column_is_centered_not_scaled_and_reported() -> None:
    panel = some_panel(20, 20)
    panel.values[20:34, 1] = 1e6 + 0.1
    scaler, notices = Scaler.fit(panel, np.array([14, 14]), "standard", 2)
    assert scaler.scale[1, 1] == 1
    assert scaler.location[1, 1] == np.float32(1e6 + 0.1)
    assert notices == ["b is constant in training in 1 series, first 's1': centered, not scaled"]


def test_a_series_without_training_values_uses_the_pooled_statistics() -> None:
    panel = some_panel(20, 20)
    scaler, _ = Scaler.fit(panel, np.array([14, 0]), "standard", 2)
    np.testing.assert_array_equal(scaler.location[1], scaler.location[0])
    np.testing.assert_array_equal(scaler.scale[1], scaler.scale[0])
    assert np.isnan(scaler.naive_mae[1]).all()
    assert np.isfinite(scaler.scale).all()


def test_a_target_without_training_values_is_refused() -> None:
    panel = some_panel(20)
    panel.values[:14, 1] = np.nan
    with pytest.raises(UserError, match="target 'b' has no value in the training rows"):
        Scaler.fit(panel, np.array([14]), "standard", 2)
