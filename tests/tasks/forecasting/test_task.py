"""Laws of the loss and the calibration of every forecaster."""

import torch
from forecasters import (
    HORIZON,
    LEARNED,
    RECURSIVE,
    batch_of,
    build,
    every_forecaster,
    every_learned,
    pick,
    without_dropout,
)

from rnn_lab.datamodules import SyntheticSeries
from rnn_lab.models import (
    Forecaster,
)


@every_forecaster
def test_a_window_without_future_values_does_not_affect_the_loss(name):
    model, batch = without_dropout(build(name)), batch_of()
    batch.future[:3] = torch.nan
    for training in (True, False):
        model.train(training)
        full, rest = model.step(batch), model.step(pick(batch, slice(3, None)))
        torch.testing.assert_close(full.loss, rest.loss)
        assert full.num_targets == rest.num_targets == 5 * HORIZON * 3


@every_forecaster
def test_the_loss_is_the_mean_over_the_observed_values(name):
    model, batch = build(name).eval(), batch_of()
    batch.future[1:4, 2:, 0] = torch.nan
    observed = ~batch.future.isnan()
    scores = model.step(batch)
    teacher_forced = name in RECURSIVE and model.output.probabilistic
    params = model._teacher_forced(batch) if teacher_forced else model.predict_params(batch)
    losses = model.output.loss(params, batch.future.nan_to_num(0))
    torch.testing.assert_close(scores.loss, losses[observed].mean())
    assert scores.num_targets == observed.sum()


@every_learned
def test_a_batch_without_observed_values_has_zero_loss_and_gradient(name):
    model, batch = build(name), batch_of()
    batch.past[:] = batch.future[:] = torch.nan
    scores = model.step(batch)
    scores.loss.backward()
    assert (float(scores.loss.detach()), scores.num_targets) == (0, 0)
    assert all(p.grad is None or (p.grad == 0).all() for p in model.parameters())


@every_forecaster
def test_missing_values_give_finite_forecasts_and_gradients(name):
    model, batch = without_dropout(build(name)), batch_of()
    batch.past[:, 3:6, 0] = batch.past[1, -2:] = batch.past[2] = batch.future[3, :2] = torch.nan
    loss = model.step(batch).loss
    if name in LEARNED:
        loss.backward()
        assert all(p.grad.isfinite().all() for p in model.parameters())
    forecast = model.eval().forecast(batch)
    assert forecast.point.isfinite().all()
    assert forecast.quantiles is None or forecast.quantiles.isfinite().all()


STEPS, CHANNELS = 4, 2


SIZES = {"output_dim": STEPS * CHANNELS, "horizon": STEPS}


def series(**options):
    sizes = {"input_length": 12, "horizon": STEPS, "batch_size": 64}
    return SyntheticSeries(400, CHANNELS, **{**sizes, **options})


def lstm(**options):
    torch.manual_seed(0)
    return Forecaster(CHANNELS, 4, **SIZES, **options)


def test_the_calibration_in_a_checkpoint_counts_each_validation_window_once(make_trainer, tmp_path):
    """Also after two epochs."""
    trainer = make_trainer(max_epochs=2, limit_train_batches=1)
    model, data = lstm(), series()
    trainer.fit(model, data)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    counts = torch.load(tmp_path / "a.ckpt", weights_only=True)["rnn_lab"]["calibration"]
    assert (counts.sum(-1) == len(data.split("valid"))).all()
    assert torch.equal(counts, model.calibration)
