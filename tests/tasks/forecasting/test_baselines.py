"""Naive forecasts and the linear baseline."""

from types import SimpleNamespace

import pytest
import torch
from forecast_runs import SYNTHETIC

from rnn_lab.__main__ import main
from rnn_lab.errors import UserError
from rnn_lab.models import (
    DLinearForecaster,
    DriftForecaster,
    LastValueForecaster,
    SeasonalNaiveForecaster,
)
from rnn_lab.tasks.forecasting.baselines import (
    LinearDecomposition,
    extend_line,
    repeat_season,
)
from rnn_lab.training import read_metrics


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DLinearForecaster(0, 4), "input_length must be at least 1, got 0"),
        (lambda: DLinearForecaster(None, 4), "DLinearForecaster needs input_length"),
        (lambda: DLinearForecaster(8, 4, window=4), "window must be odd"),
        (lambda: DLinearForecaster(8, 4, normalization="x"), "normalization must be one of"),
        (
            lambda: SeasonalNaiveForecaster(4, season_length=0),
            "season_length must be at least 1, got 0",
        ),
        (lambda: LastValueForecaster(4, horizon=3), "output_dim must be a multiple of horizon"),
        (lambda: DriftForecaster(0), "output_dim must be"),
    ],
)
def test_invalid_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_season_longer_than_the_window_is_refused_before_training():
    model = SeasonalNaiveForecaster(4, season_length=24)
    with pytest.raises(
        UserError, match="season_length=24 needs input_length of at least 24, got 12"
    ):
        model.check_data(SimpleNamespace(input_length=12))
    model.check_data(SimpleNamespace(input_length=24))
    model.check_data(None)


@pytest.mark.parametrize("every", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_forecaster_without_parameters_is_validated_once(every, tmp_path, caplog):
    line = [*SYNTHETIC, "--model=LastValueForecaster", "--trainer.accelerator=cpu"]
    line += ["--trainer.max_epochs=5", f"--trainer.check_val_every_n_epoch={every}"]
    line += [f"--trainer.default_root_dir={tmp_path}", "--trainer.limit_train_batches=1"]
    for _ in range(2):  # the second run is complete
        assert main(["fit", *line, "--ckpt_path=last"]) == 0
        losses = read_metrics(tmp_path / "metrics.csv")["val/loss"]
        assert len([loss for loss in losses if loss is not None]) == 1
        last = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
        assert last["epoch"] == every - 1
    assert caplog.text.count("has nothing to train") == 1


NAN = torch.nan


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("horizon", [1, 4, 5, 11])
def test_the_last_season_is_repeated(horizon):
    past = randn(3, 10, 2)
    result = repeat_season(past, horizon, 4)
    assert result.shape == (3, horizon, 2)
    for step in range(horizon):
        assert torch.equal(result[:, step], past[:, 6 + step % 4])


def test_missing_values_of_a_season_are_taken_from_the_previous_one():
    past = randn(1, 8, 1)
    with_gaps = past.clone()
    with_gaps[0, 6], with_gaps[0, 3], with_gaps[0, 7] = NAN, NAN, NAN
    result = repeat_season(with_gaps, 4, 4)[0, :, 0]
    expected = [past[0, 4, 0], past[0, 5, 0], past[0, 2, 0], past[0, 5, 0]]
    assert result.tolist() == pytest.approx([float(value) for value in expected])
    assert (repeat_season(torch.full_like(past, NAN), 4, 4) == 0).all()


def test_a_window_shorter_than_a_season_is_refused():
    with pytest.raises(ValueError, match="season_length=4 needs as many input steps, got 3"):
        repeat_season(randn(1, 3, 1), 2, 4)


def test_drift_extends_the_line_from_first_to_last_observed_value():
    past = randn(3, 9, 2)
    past[0, :2], past[1, -3:], past[2, 3:6] = NAN, NAN, NAN
    result = extend_line(past, 4)
    for row, ahead in zip(past, result, strict=True):
        for channel in range(2):
            steps = (~row[:, channel].isnan()).nonzero()[:, 0]
            first, last = int(steps[0]), int(steps[-1])
            slope = (row[last, channel] - row[first, channel]) / (last - first)
            expected = row[first, channel] + slope * (torch.arange(9, 13) - first)
            torch.testing.assert_close(ahead[:, channel], expected)


def test_drift_extends_a_line_exactly_despite_missing_values():
    line = 3 + 0.5 * torch.arange(12.0)
    past = line[None, :8, None].clone()
    past[0, [0, 3, 6, 7]] = NAN
    torch.testing.assert_close(extend_line(past, 4)[0, :, 0], line[8:])


def test_drift_of_fewer_than_two_values_is_constant():
    past = torch.full((2, 5, 1), NAN)
    past[0, 2] = 7.0
    assert extend_line(past, 3).squeeze(2).tolist() == [[7, 7, 7], [0, 0, 0]]


def test_trend_and_remainder_add_up_to_the_window():
    """With equal weights for both, the decomposition does not matter."""
    torch.manual_seed(0)
    module, x = LinearDecomposition(9, 4, 5), randn(3, 9)
    with torch.no_grad():
        module.trend.weight.normal_()
        module.remainder.weight.copy_(module.trend.weight)
    expected = x @ module.trend.weight.T + module.trend.bias + module.remainder.bias
    torch.testing.assert_close(module(x), expected)


def test_the_trend_is_the_moving_average_with_repeated_ends():
    module, x = LinearDecomposition(9, 9, 5), randn(3, 9)
    with torch.no_grad():
        module.trend.weight.copy_(torch.eye(9))
        module.remainder.weight.zero_()
        module.trend.bias.zero_()
        module.remainder.bias.zero_()
    held = [[min(max(i, 0), 8) for i in range(step - 2, step + 3)] for step in range(9)]
    expected = torch.stack([x[:, steps].mean(1) for steps in held], 1)
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize("window", [0, 4, -1])
def test_an_even_moving_average_is_refused(window):
    with pytest.raises(ValueError, match=f"window must be odd and at least 1, got {window}"):
        LinearDecomposition(9, 4, window)
