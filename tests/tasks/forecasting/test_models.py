"""Laws of every forecaster."""

import inspect

import pytest
import torch
from forecasters import (
    ALL,
    BASELINES,
    HORIZON,
    PAST,
    RECURRENT,
    RECURSIVE,
    TRANSFORMERS,
    batch_of,
    build,
    close,
    every_forecaster,
    every_learned,
    every_recurrent,
    pick,
    without_dropout,
)
from lightning import Trainer

from rnn_lab import models
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.loading import instantiate_task, load_task
from rnn_lab.models import (
    DLinearForecaster,
    LSTMForecaster,
)
from rnn_lab.tasks.forecasting.options import (
    Covariates,
)
from rnn_lab.tasks.forecasting.outputs import LEVELS, Point

JOINT = ["joint", "recursive, joint", "parallel, joint"]


def test_every_exported_forecaster_is_tested():
    exported = {getattr(models, name) for name in models.__all__}
    groups = (*RECURRENT.values(), *TRANSFORMERS.values(), *BASELINES.values())
    ours = {cls for cls, _ in groups}
    assert {
        c for c in exported if inspect.isclass(c) and c.__name__.endswith("Forecaster")
    } == ours | {DLinearForecaster}


def test_the_usage_lines_of_the_textbook_work_unchanged():
    model = LSTMForecaster(input_dim=10, hidden_dim=64, num_layers=2, output_dim=1)
    assert model(torch.randn(32, 20, 10)).shape == (32, 1)
    assert model.recurrent.dropout == 0.2
    assert model.recurrent.input_size == 10
    assert LSTMForecaster(10).recurrent.dropout == 0


@every_forecaster
def test_a_forecast_has_a_value_per_step_and_channel(name):
    model, batch = build(name).eval(), batch_of()
    forecast = model.forecast(batch)
    assert forecast.point.shape == (8, HORIZON, 3)
    assert forecast.point.isfinite().all()
    assert (forecast.quantiles is None) == isinstance(model.output, Point)
    if forecast.quantiles is not None:
        assert forecast.quantiles.shape == (8, HORIZON, 3, len(LEVELS))
        assert (forecast.quantiles.diff(dim=-1) >= 0).all()


@every_forecaster
def test_the_forecast_of_a_window_does_not_depend_on_its_batch(name):
    model, batch = build(name).eval(), batch_of()
    together = model.forecast(batch)
    for row in range(8):
        alone = model.forecast(pick(batch, slice(row, row + 1)))
        expected = together._replace(point=together.point[row : row + 1])
        if together.quantiles is not None:
            expected = expected._replace(quantiles=together.quantiles[row : row + 1])
        close(alone, expected, atol=1e-3, rtol=1e-4)


@every_forecaster
def test_a_forecast_does_not_depend_on_future_values(name):
    model, batch = build(name).eval(), batch_of()
    other = batch._replace(future=torch.full_like(batch.future, torch.nan))
    for far in (other, batch._replace(future=1000 * batch.future)):
        close(model.forecast(far), model.forecast(batch), atol=0, rtol=0)
        close(model.step(far).predictions, model.forecast(batch), atol=0, rtol=0)


@every_learned
def test_every_parameter_gets_a_gradient(name):
    model = build(name)
    model.step(batch_of()).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@every_recurrent
def test_every_parameter_of_a_model_with_covariates_gets_a_gradient(name):
    model = build(name, more=2, covariates=Covariates(2, 2, [3, 3]))
    model.step(batch_of(known=2, statics=2, kinds=2)).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.slow
@every_learned
def test_memorizes_eight_windows(name):
    past = 12 if name in RECURSIVE else PAST  # longer windows need many more updates
    model, batch = without_dropout(build(name, channels=1)), batch_of(channels=1, past=past)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(700):
        optimizer.zero_grad()
        model.step(batch).loss.backward()
        optimizer.step()
    error = (model.eval().forecast(batch).point - batch.future).square().mean()
    assert error < 0.3 * batch.future.var()  # sample paths are noisy


@every_forecaster
def test_bfloat16_autocast_gives_nearly_the_same_forecast(name):
    model, batch = build(name).eval(), batch_of()
    with torch.autocast("cpu", torch.bfloat16):
        rough = model.forecast(batch)
        loss = model.step(batch).loss
    assert rough.point.dtype == torch.float32
    width = 2.0 if name == "counts" else 0.5  # samples are integers
    close(rough, model.forecast(batch), atol=width, rtol=0.05)
    torch.testing.assert_close(loss, model.step(batch).loss, atol=0.05, rtol=0.05)


@every_forecaster
def test_a_saved_checkpoint_gives_the_same_forecast(name, tmp_path):
    model, batch = build(name).eval(), batch_of()
    model.calibration = torch.arange(12).view(2, 2, 3)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    path = str(tmp_path / "a.ckpt")
    one = type(model).load_from_checkpoint(path, weights_only=True)
    for again in (one, load_task(Checkpoint.open(path))):
        assert type(again) is type(model)
        close(again.eval().forecast(batch), model.forecast(batch), atol=0, rtol=0)
        assert torch.equal(again.calibration, model.calibration)


@every_forecaster
def test_a_build_spec_builds_the_same_model(name):
    model = build(name)
    again = instantiate_task(model.build_spec())
    assert again.build_spec() == model.build_spec()
    assert [(n, p.shape) for n, p in again.named_parameters()] == [
        (n, p.shape) for n, p in model.named_parameters()
    ]


@pytest.mark.parametrize("name", [n for n in ALL if n not in (*JOINT, "SegRNNForecaster")])
def test_independent_channels_are_equivariant_to_their_order(name):
    model, batch = build(name).eval(), batch_of()
    order = torch.tensor([2, 0, 1])
    moved = batch._replace(past=batch.past[..., order], future=batch.future[..., order])
    expected = model.forecast(batch)
    if expected.quantiles is not None:
        expected = expected._replace(quantiles=expected.quantiles[:, :, order])
    expected = expected._replace(point=expected.point[..., order])
    close(model.forecast(moved), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", [n for n in ALL if n not in JOINT])
def test_an_independent_channel_is_forecast_from_its_own_past_only(name):
    model, batch = build(name).eval(), batch_of()
    other = batch.past.clone()
    other[..., 1] += 3 * torch.arange(PAST)
    before, after = (model.forecast(b).point for b in (batch, batch._replace(past=other)))
    changed = (before != after).any(1).any(0)
    assert changed.tolist() == [False, True, False]


@pytest.mark.parametrize("name", JOINT)
def test_jointly_modeled_channels_depend_on_each_other(name):
    model, batch = build(name).eval(), batch_of()
    other = batch.past.clone()
    other[:, 2, 1] += 9
    before, after = (model.forecast(b).point for b in (batch, batch._replace(past=other)))
    assert (before != after).any(1).any(0).all()


@every_forecaster
def test_a_forecast_is_equivariant_to_the_scale_of_its_window(name):
    model, batch = build(name).eval(), batch_of()
    stretched = model.forecast(batch._replace(past=3 * batch.past)).point
    if name in ("quantiles", "SegRNNForecaster"):  # scaled by their last value: moved alone
        moved = model.forecast(batch._replace(past=batch.past + 50)).point
        torch.testing.assert_close(moved, model.forecast(batch).point + 50, atol=1e-3, rtol=1e-4)
    elif name not in ("counts", "DLinearForecaster"):  # integers; a bias is not scaled
        torch.testing.assert_close(stretched, 3 * model.forecast(batch).point, atol=0.05, rtol=1e-3)


@every_forecaster
def test_forward_returns_the_point_forecast(name):
    model, batch = build(name).eval(), batch_of()
    expected = model.output.point(model.predict_params(batch))
    torch.testing.assert_close(model(batch.past), expected.flatten(1))
    assert model(batch.past).shape == (8, HORIZON * 3)
