"""Laws of every window normalization."""

import pytest
import torch

from rnn_lab.tasks.forecasting.baselines import (
    repeat_last,
)
from rnn_lab.tasks.forecasting.normalization import (
    NORMALIZATIONS,
    WindowNormalization,
    last_observed,
)

NAN = torch.nan


every_scaling = pytest.mark.parametrize("kind", NORMALIZATIONS)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def windows():
    """Windows far from zero with missing values at the ends and in the middle."""
    past = 50 + 7 * randn(4, 12, 2)
    past[0, :3], past[1, 4:8, 0], past[2, -2:] = NAN, NAN, NAN
    return past


def scaling(kind, channels=2):
    module = WindowNormalization(kind, channels)
    if kind == "revin":
        with torch.no_grad():
            module.gain.copy_(torch.tensor([0.3, -2.0])[:channels])
            module.shift.copy_(torch.tensor([-1.0, 4.0])[:channels])
    return module


@pytest.mark.parametrize("kind", ["standard", "revin"])
def test_a_standardized_window_has_zero_mean_and_unit_variance(kind):
    past = windows()
    x, _, _ = WindowNormalization(kind, 2)(past)
    for row, observed in zip(x, ~past.isnan(), strict=True):
        for channel in range(2):
            values = row[observed[:, channel], channel].detach()
            assert values.mean().abs() < 1e-5
            assert values.std(correction=0) == pytest.approx(1, abs=1e-4)


def test_each_kind_uses_its_own_statistics():
    past = windows()
    observed = ~past.isnan()
    scaled = {kind: WindowNormalization(kind, 2)(past)[0] for kind in NORMALIZATIONS}
    torch.testing.assert_close(scaled["none"][observed], past[observed])
    assert (last_observed(scaled["last"].where(observed, NAN)) == 0).all()
    size = scaled["mean"].where(observed, NAN).abs().nanmean(1)
    torch.testing.assert_close(size, torch.ones(4, 2))


@every_scaling
def test_denormalize_inverts_the_normalization(kind):
    past = windows()
    x, location, scale = scaling(kind)(past)
    assert location.shape == scale.shape == (4, 1, 2)
    observed = ~past.isnan()
    torch.testing.assert_close(
        (x * scale + location)[observed], past[observed], atol=1e-3, rtol=1e-4
    )


@every_scaling
def test_missing_values_do_not_affect_the_statistics(kind):
    """The result is the same as without the missing steps."""
    past, module = windows(), scaling(kind)
    for row in past:
        for channel in range(2):
            observed = ~row[:, channel].isnan()
            with_gaps = row[None, :, [channel]].expand(-1, -1, 2)
            with_gaps = [part[..., channel] for part in module(with_gaps)]
            without_gaps = row[observed][None, :, [channel]].expand(-1, -1, 2)
            without_gaps = [part[..., channel] for part in module(without_gaps)]
            torch.testing.assert_close(with_gaps[0][:, observed], without_gaps[0])
            torch.testing.assert_close(with_gaps[1:], without_gaps[1:])


@pytest.mark.parametrize("value", [NAN, 0.0, 3.0])
@every_scaling
def test_constant_and_empty_windows_are_finite(kind, value):
    past = torch.full((2, 5, 2), value)
    x, location, scale = WindowNormalization(kind, 2)(past)
    assert all(part.isfinite().all() for part in (x, location, scale))
    assert (scale > 0).all()
    if past.isnan().all():
        assert (x == 0).all()
        assert (location == 0).all()
        torch.testing.assert_close(scale.detach(), torch.ones(2, 1, 2), atol=1e-4, rtol=0)


def test_only_the_learned_affine_map_gets_a_gradient():
    module, past = scaling("revin"), windows().requires_grad_()
    x, location, scale = module(past.nan_to_num(50.0))
    (x.square().sum() + location.sum() + scale.sum()).backward()
    assert all(p.grad.abs().sum() > 0 for p in module.parameters())
    assert not list(WindowNormalization("standard", 2).parameters())


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"normalization must be one of none, .*, got 'min-max'"):
        WindowNormalization("min-max", 1)


def test_the_last_observed_value_precedes_any_gap():
    past = torch.tensor([[1.0, 2, 3], [1, 2, NAN], [1, NAN, NAN], [NAN, NAN, NAN]]).unsqueeze(2)
    assert last_observed(past).squeeze(1).tolist() == [3, 2, 1, 0]
    assert repeat_last(past, 2).squeeze(2).tolist() == [[3, 3], [2, 2], [1, 1], [0, 0]]
    both = torch.cat([past[1:2], past[2:3]], 2)
    assert last_observed(both).tolist() == [[2, 1]]
