"""What the parts of forecasters promise: scaling, segments, decoders, simple ways to go on."""

import pytest
import torch

from rnn_lab.nn import LAYERS
from rnn_lab.tasks.forecasting.baselines import (
    LinearDecomposition,
    extend_line,
    repeat_last,
    repeat_season,
)
from rnn_lab.tasks.forecasting.modules import DirectDecoder, PatchDecoder, PatchEmbedding
from rnn_lab.tasks.forecasting.normalization import (
    NORMALIZATIONS,
    WindowNormalization,
    last_observed,
)

NAN = torch.nan
every_scaling = pytest.mark.parametrize("kind", NORMALIZATIONS)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def windows():
    """Windows far from zero, with holes at either end and in the middle."""
    past = 50 + 7 * drawn(4, 12, 2)
    past[0, :3], past[1, 4:8, 0], past[2, -2:] = NAN, NAN, NAN
    return past


def scaling(kind, channels=2):
    made = WindowNormalization(kind, channels)
    if kind == "revin":
        with torch.no_grad():
            made.gain.copy_(torch.tensor([0.3, -2.0])[:channels])
            made.shift.copy_(torch.tensor([-1.0, 4.0])[:channels])
    return made


@pytest.mark.parametrize("kind", ["standard", "revin"])
def test_a_scaled_window_has_mean_zero_and_deviation_one(kind):
    past = windows()
    x, _, _ = WindowNormalization(kind, 2)(past)
    for row, seen in zip(x, ~past.isnan(), strict=True):
        for channel in range(2):
            values = row[seen[:, channel], channel].detach()
            assert values.mean().abs() < 1e-5
            assert values.std(correction=0) == pytest.approx(1, abs=1e-4)


def test_every_kind_of_scaling_measures_what_it_says():
    past = windows()
    seen = ~past.isnan()
    scaled = {kind: WindowNormalization(kind, 2)(past)[0] for kind in NORMALIZATIONS}
    torch.testing.assert_close(scaled["none"][seen], past[seen])
    assert (last_observed(scaled["last"].where(seen, NAN)) == 0).all()
    size = scaled["mean"].where(seen, NAN).abs().nanmean(1)
    torch.testing.assert_close(size, torch.ones(4, 2))


@every_scaling
def test_scaling_can_be_taken_back(kind):
    past = windows()
    x, location, scale = scaling(kind)(past)
    assert location.shape == scale.shape == (4, 1, 2)
    seen = ~past.isnan()
    torch.testing.assert_close((x * scale + location)[seen], past[seen], atol=1e-3, rtol=1e-4)


@every_scaling
def test_missing_values_have_no_part_in_scaling(kind):
    """As if the steps were not there."""
    past, made = windows(), scaling(kind)
    for row in past:
        for channel in range(2):
            seen = ~row[:, channel].isnan()
            whole = row[None, :, [channel]].expand(-1, -1, 2)
            whole = [part[..., channel] for part in made(whole)]
            short = row[seen][None, :, [channel]].expand(-1, -1, 2)
            short = [part[..., channel] for part in made(short)]
            torch.testing.assert_close(whole[0][:, seen], short[0])
            torch.testing.assert_close(whole[1:], short[1:])


@pytest.mark.parametrize("value", [NAN, 0.0, 3.0])
@every_scaling
def test_a_window_of_one_value_or_of_none_is_finite(kind, value):
    past = torch.full((2, 5, 2), value)
    x, location, scale = WindowNormalization(kind, 2)(past)
    assert all(part.isfinite().all() for part in (x, location, scale))
    assert (scale > 0).all()
    if past.isnan().all():
        assert (x == 0).all()
        assert (location == 0).all()
        torch.testing.assert_close(scale.detach(), torch.ones(2, 1, 2), atol=1e-4, rtol=0)


def test_what_is_learned_of_scaling_gets_a_gradient_and_nothing_else_does():
    made, past = scaling("revin"), windows().requires_grad_()
    x, location, scale = made(past.nan_to_num(50.0))
    (x.square().sum() + location.sum() + scale.sum()).backward()
    assert all(p.grad.abs().sum() > 0 for p in made.parameters())
    assert not list(WindowNormalization("standard", 2).parameters())


def test_an_unknown_scaling_is_refused():
    with pytest.raises(ValueError, match=r"normalization must be one of none, .*, got 'min-max'"):
        WindowNormalization("min-max", 1)


def test_the_last_observed_value_is_found_over_any_hole():
    past = torch.tensor([[1.0, 2, 3], [1, 2, NAN], [1, NAN, NAN], [NAN, NAN, NAN]]).unsqueeze(2)
    assert last_observed(past).squeeze(1).tolist() == [3, 2, 1, 0]
    assert repeat_last(past, 2).squeeze(2).tolist() == [[3, 3], [2, 2], [1, 1], [0, 0]]
    both = torch.cat([past[1:2], past[2:3]], 2)
    assert last_observed(both).tolist() == [[2, 1]]


@pytest.mark.parametrize("horizon", [1, 4, 5, 11])
def test_a_season_goes_on_again_and_again(horizon):
    past = drawn(3, 10, 2)
    found = repeat_season(past, horizon, 4)
    assert found.shape == (3, horizon, 2)
    for step in range(horizon):
        assert torch.equal(found[:, step], past[:, 6 + step % 4])


def test_a_hole_in_a_season_is_filled_from_the_season_before():
    past = drawn(1, 8, 1)
    holes = past.clone()
    holes[0, 6], holes[0, 3], holes[0, 7] = NAN, NAN, NAN
    found = repeat_season(holes, 4, 4)[0, :, 0]
    expected = [past[0, 4, 0], past[0, 5, 0], past[0, 2, 0], past[0, 5, 0]]
    assert found.tolist() == pytest.approx([float(value) for value in expected])
    assert (repeat_season(torch.full_like(past, NAN), 4, 4) == 0).all()


def test_a_window_shorter_than_a_season_is_refused():
    with pytest.raises(ValueError, match="season_length=4 needs as many input steps, got 3"):
        repeat_season(drawn(1, 3, 1), 2, 4)


def test_drift_goes_through_the_first_and_the_last_observed_value():
    past = drawn(3, 9, 2)
    past[0, :2], past[1, -3:], past[2, 3:6] = NAN, NAN, NAN
    found = extend_line(past, 4)
    for row, ahead in zip(past, found, strict=True):
        for channel in range(2):
            steps = (~row[:, channel].isnan()).nonzero()[:, 0]
            first, last = int(steps[0]), int(steps[-1])
            slope = (row[last, channel] - row[first, channel]) / (last - first)
            expected = row[first, channel] + slope * (torch.arange(9, 13) - first)
            torch.testing.assert_close(ahead[:, channel], expected)


def test_a_line_is_gone_on_with_exactly_whatever_is_missing():
    line = 3 + 0.5 * torch.arange(12.0)
    past = line[None, :8, None].clone()
    past[0, [0, 3, 6, 7]] = NAN
    torch.testing.assert_close(extend_line(past, 4)[0, :, 0], line[8:])


def test_drift_of_one_value_or_of_none_stays_there():
    past = torch.full((2, 5, 1), NAN)
    past[0, 2] = 7.0
    assert extend_line(past, 3).squeeze(2).tolist() == [[7, 7, 7], [0, 0, 0]]


def test_a_segment_is_read_as_one_step():
    torch.manual_seed(0)
    made, x = PatchEmbedding(2, 3, 5), drawn(4, 9, 2)
    found = made(x)
    assert found.shape == (4, 3, 5)
    for i in range(3):
        segment = x[:, 3 * i : 3 * i + 3].reshape(4, 6)
        torch.testing.assert_close(found[:, i], torch.relu(made.linear(segment)))


def test_where_segments_do_not_fit_the_first_steps_are_left_out():
    torch.manual_seed(0)
    made, x = PatchEmbedding(2, 3, 5), drawn(4, 11, 2)
    torch.testing.assert_close(made(x), made(x[:, 2:]))


@pytest.mark.parametrize("known_dim", [0, 2])
def test_a_direct_decoder_reads_what_is_known_of_each_step_for_that_step(known_dim):
    torch.manual_seed(0)
    made = DirectDecoder(6, 5, 3, known_dim, 0.0)
    state, known = drawn(4, 6), drawn(4, 5, known_dim, seed=1)
    found = made(state, known)
    assert found.shape == (4, 5, 3)
    if known_dim:
        other = known.clone()
        other[:, 2] += 1
        changed = (made(state, other) != found).any(2).any(0)
        assert changed.tolist() == [False, False, True, False, False]


def segments(layer, horizon=7, channels=3, segment=3, known_dim=0):
    torch.manual_seed(0)
    reader = LAYERS[layer](4, 4)
    decoder = PatchDecoder(4, horizon, segment, 2, channels, known_dim, 0.0)
    rows = 2 * channels
    _, state = reader(drawn(rows, 5, 4))
    return decoder, reader, state, drawn(rows, horizon, known_dim, seed=1)


@pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("horizon", [1, 3, 7])
def test_segments_fill_any_horizon(layer, horizon):
    decoder, *parts = segments(layer, horizon)
    assert decoder(*parts).shape == (6, horizon, 2)


@pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU"])
def test_each_segment_is_one_step_from_the_state_after_the_window(layer):
    decoder, reader, state, known = segments(layer, 6)
    found = decoder(reader, state, known)
    for segment in range(2):
        place = decoder.position[segment].expand(6, -1)
        channel = decoder.channel.repeat(2, 1)
        output, _ = reader.step(torch.cat([place, channel], 1), state)
        expected = decoder.linear(output).view(6, 3, 2)
        torch.testing.assert_close(found[:, 3 * segment : 3 * segment + 3], expected)


def test_what_tells_a_channel_apart_moves_only_the_rows_of_that_channel():
    decoder, *parts = segments("GRU")
    before = decoder(*parts)
    with torch.no_grad():
        decoder.channel[1] += 1
    changed = (decoder(*parts) != before).flatten(1).any(1)
    assert changed.tolist() == [False, True, False] * 2


def test_what_tells_a_segment_apart_moves_only_the_steps_of_that_segment():
    decoder, *parts = segments("GRU")
    before = decoder(*parts)
    with torch.no_grad():
        decoder.position[1] += 1
    changed = (decoder(*parts) != before).any(2).any(0)
    assert changed.tolist() == [False] * 3 + [True] * 3 + [False]


def test_a_segment_decoder_reads_what_is_known_of_each_step_for_that_step():
    decoder, reader, state, known = segments("GRU", known_dim=2)
    other = known.clone()
    other[:, 4] += 1
    changed = (decoder(reader, state, other) != decoder(reader, state, known)).any(2).any(0)
    assert changed.tolist() == [step == 4 for step in range(7)]


def test_a_width_that_position_and_channel_cannot_share_is_refused():
    with pytest.raises(
        ValueError, match="hidden_dim must be even to hold position and channel embeddings, got 5"
    ):
        PatchDecoder(5, 6, 3, 1, 2, 0, 0.0)
    PatchDecoder(5, 6, 3, 1, 1, 0, 0.0)


def test_trend_and_rest_add_up_to_the_window():
    """With the same matrix for both, how they are parted does not matter."""
    torch.manual_seed(0)
    made, x = LinearDecomposition(9, 4, 5), drawn(3, 9)
    with torch.no_grad():
        made.trend.weight.normal_()
        made.remainder.weight.copy_(made.trend.weight)
    expected = x @ made.trend.weight.T + made.trend.bias + made.remainder.bias
    torch.testing.assert_close(made(x), expected)


def test_the_trend_is_the_moving_mean_with_the_ends_held():
    made, x = LinearDecomposition(9, 9, 5), drawn(3, 9)
    with torch.no_grad():
        made.trend.weight.copy_(torch.eye(9))
        made.remainder.weight.zero_()
        made.trend.bias.zero_()
        made.remainder.bias.zero_()
    held = [[min(max(i, 0), 8) for i in range(step - 2, step + 3)] for step in range(9)]
    expected = torch.stack([x[:, steps].mean(1) for steps in held], 1)
    torch.testing.assert_close(made(x), expected)


@pytest.mark.parametrize("window", [0, 4, -1])
def test_a_moving_mean_without_a_middle_is_refused(window):
    with pytest.raises(ValueError, match=f"window must be odd and at least 1, got {window}"):
        LinearDecomposition(9, 4, window)
