"""What every forecaster promises."""

import inspect
from types import SimpleNamespace

import pytest
import torch
from lightning import Trainer

from rnn_lab import models
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.loading import instantiate_task, load_task
from rnn_lab.errors import UserError
from rnn_lab.models import (
    DeepARForecaster,
    DLinearForecaster,
    DriftForecaster,
    Forecaster,
    LastValueForecaster,
    LSTMForecaster,
    PatchedLSTMForecaster,
    SeasonalNaiveForecaster,
    SegRNNForecaster,
)
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.normalization import WindowNormalization
from rnn_lab.tasks.forecasting.options import (
    Covariates,
    Dropouts,
    EncoderOptions,
    OutputOptions,
)
from rnn_lab.tasks.forecasting.outputs import LEVELS, Point

PAST, HORIZON = 48, 6
FEW_SAMPLES = OutputOptions(num_samples=20)
RECURRENT = {
    "LSTMForecaster": (LSTMForecaster, {}),
    "PatchedLSTMForecaster": (PatchedLSTMForecaster, {}),
    "SegRNNForecaster": (SegRNNForecaster, {}),
    "DeepARForecaster": (DeepARForecaster, {}),
    "counts": (
        Forecaster,
        {
            "decoding": "recursive",
            "num_layers": 2,
            "output": "negative_binomial",
            "encoder": EncoderOptions(normalization="mean"),
            "output_options": FEW_SAMPLES,
        },
    ),
    "Forecaster": (
        Forecaster,
        {"layer": "GRU", "num_layers": 2, "output_options": OutputOptions(loss="huber")},
    ),
    "quantiles": (
        Forecaster,
        {"output": "quantiles", "encoder": EncoderOptions(normalization="last")},
    ),
    "joint": (
        Forecaster,
        {"encoder": EncoderOptions(channel_independent=False, normalization="revin")},
    ),
    "recursive": (Forecaster, {"decoding": "recursive"}),
    "recursive, joint": (
        Forecaster,
        {
            "decoding": "recursive",
            "output": "gaussian",
            "encoder": EncoderOptions(channel_independent=False),
            "output_options": FEW_SAMPLES,
        },
    ),
    "parallel, joint": (
        Forecaster,
        {
            "decoding": "parallel",
            "output": "student_t",
            "encoder": EncoderOptions(channel_independent=False, patch_length=4),
        },
    ),
}
RECURSIVE = ["DeepARForecaster", "counts", "recursive", "recursive, joint"]
JOINT = ["joint", "recursive, joint", "parallel, joint"]
BASELINES = {
    "LastValueForecaster": (LastValueForecaster, {}),
    "SeasonalNaiveForecaster": (SeasonalNaiveForecaster, {"season_length": 4}),
    "DriftForecaster": (DriftForecaster, {}),
}
LEARNED = [*RECURRENT, "DLinearForecaster"]
ALL = [*LEARNED, *BASELINES]
every_forecaster = pytest.mark.parametrize("name", ALL)
every_learned = pytest.mark.parametrize("name", LEARNED)
every_recurrent = pytest.mark.parametrize("name", RECURRENT)


def build(name, channels=3, horizon=HORIZON, more=0, **arguments):
    """A model of some channels that sees `more` features beside them."""
    torch.manual_seed(0)
    sizes = {"output_dim": horizon * channels, "horizon": horizon}
    if name in BASELINES:
        cls, own = BASELINES[name]
        return cls(**sizes, **own, **arguments)
    if name == "DLinearForecaster":
        return DLinearForecaster(PAST, **sizes, window=5, **arguments)
    cls, own = RECURRENT[name]
    return cls(channels + more, 16, **sizes, **{**own, **arguments})


def still(model):
    """Without dropout, in training too."""
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
        elif isinstance(part, torch.nn.RNNBase):
            part.dropout = 0.0
    return model


def batch_of(rows=8, channels=3, known=0, observed=0, statics=0, kinds=0):
    """Windows of counts, and of what else is known."""
    chance = torch.Generator().manual_seed(1)

    def drawn(*shape):
        return torch.randn(*shape, generator=chance)

    level = 20 + 5 * drawn(rows, 1, channels)
    values = (level + 4 * drawn(rows, PAST + HORIZON, channels)).round().clamp(min=0)
    features = drawn(rows, PAST + HORIZON, known + observed)
    one = torch.ones(rows, channels)
    return WindowBatch(
        values[:, :PAST],
        values[:, PAST:],
        features[:, :PAST],
        features[:, PAST:, :known],
        drawn(rows, statics),
        torch.randint(0, 3, (rows, kinds), generator=chance),
        0 * one,
        one,
        one,
        torch.arange(rows),
    )


def pick(batch, rows):
    return WindowBatch(*(part[rows] for part in batch))


def close(found, expected, **tolerance):
    torch.testing.assert_close(found.point, expected.point, **tolerance)
    assert (found.quantiles is None) == (expected.quantiles is None)
    if found.quantiles is not None:
        torch.testing.assert_close(found.quantiles, expected.quantiles, equal_nan=True, **tolerance)


def test_every_exported_forecaster_is_under_these_laws():
    exported = {getattr(models, name) for name in models.__all__}
    ours = {cls for cls, _ in (*RECURRENT.values(), *BASELINES.values())}
    assert {
        c for c in exported if inspect.isclass(c) and c.__name__.endswith("Forecaster")
    } == ours | {DLinearForecaster}


def test_the_usage_lines_of_the_chapter_work_unchanged():
    model = LSTMForecaster(input_dim=10, hidden_dim=64, num_layers=2, output_dim=1)
    assert model(torch.randn(32, 20, 10)).shape == (32, 1)
    assert model.recurrent.dropout == 0.2
    assert model.recurrent.input_size == 10
    assert LSTMForecaster(10).recurrent.dropout == 0


@every_forecaster
def test_a_forecast_has_a_number_for_each_step_and_channel(name):
    model, batch = build(name).eval(), batch_of()
    forecast = model.forecast(batch)
    assert forecast.point.shape == (8, HORIZON, 3)
    assert forecast.point.isfinite().all()
    assert (forecast.quantiles is None) == isinstance(model.output, Point)
    if forecast.quantiles is not None:
        assert forecast.quantiles.shape == (8, HORIZON, 3, len(LEVELS))
        assert (forecast.quantiles.diff(dim=-1) >= 0).all()


@every_forecaster
def test_a_window_is_forecast_the_same_alone_and_in_a_batch(name):
    model, batch = build(name).eval(), batch_of()
    together = model.forecast(batch)
    for row in range(8):
        alone = model.forecast(pick(batch, slice(row, row + 1)))
        expected = together._replace(point=together.point[row : row + 1])
        if together.quantiles is not None:
            expected = expected._replace(quantiles=together.quantiles[row : row + 1])
        close(alone, expected, atol=1e-3, rtol=1e-4)


@every_forecaster
def test_what_is_to_come_is_never_read(name):
    model, batch = build(name).eval(), batch_of()
    other = batch._replace(future=torch.full_like(batch.future, torch.nan))
    for far in (other, batch._replace(future=1000 * batch.future)):
        close(model.forecast(far), model.forecast(batch), atol=0, rtol=0)
        close(model.step(far).predictions, model.forecast(batch), atol=0, rtol=0)


@every_forecaster
def test_a_window_whose_future_was_not_observed_does_not_count(name):
    model, batch = still(build(name)), batch_of()
    batch.future[:3] = torch.nan
    for training in (True, False):
        model.train(training)
        whole, rest = model.step(batch), model.step(pick(batch, slice(3, None)))
        torch.testing.assert_close(whole.loss, rest.loss)
        assert whole.num_targets == rest.num_targets == 5 * HORIZON * 3


@every_forecaster
def test_the_loss_is_the_mean_over_what_was_observed(name):
    model, batch = build(name).eval(), batch_of()
    batch.future[1:4, 2:, 0] = torch.nan
    seen = ~batch.future.isnan()
    scores = model.step(batch)
    taught = name in RECURSIVE and model.output.probabilistic
    parameters = model._teacher_forced(batch) if taught else model.predict_params(batch)
    losses = model.output.loss(parameters, batch.future.nan_to_num(0))
    torch.testing.assert_close(scores.loss, losses[seen].mean())
    assert scores.num_targets == seen.sum()


@every_learned
def test_a_batch_of_nothing_observed_teaches_nothing(name):
    model, batch = build(name), batch_of()
    batch.past[:] = batch.future[:] = torch.nan
    scores = model.step(batch)
    scores.loss.backward()
    assert (float(scores.loss.detach()), scores.num_targets) == (0, 0)
    assert all(p.grad is None or (p.grad == 0).all() for p in model.parameters())


@every_forecaster
def test_holes_in_what_was_seen_leave_forecasts_and_gradients_finite(name):
    model, batch = still(build(name)), batch_of()
    batch.past[:, 3:6, 0] = batch.past[1, -2:] = batch.past[2] = batch.future[3, :2] = torch.nan
    loss = model.step(batch).loss
    if name in LEARNED:
        loss.backward()
        assert all(p.grad.isfinite().all() for p in model.parameters())
    forecast = model.eval().forecast(batch)
    assert forecast.point.isfinite().all()
    assert forecast.quantiles is None or forecast.quantiles.isfinite().all()


@every_learned
def test_every_parameter_gets_a_gradient(name):
    model = build(name)
    model.step(batch_of()).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@every_recurrent
def test_what_describes_a_series_gets_a_gradient_too(name):
    model = build(name, more=2, covariates=Covariates(2, 2, [3, 3]))
    model.step(batch_of(known=2, statics=2, kinds=2)).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.slow
@every_learned
def test_memorizes_eight_windows(name):
    model, batch = still(build(name, channels=1)), batch_of(channels=1)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(700):
        optimizer.zero_grad()
        model.step(batch).loss.backward()
        optimizer.step()
    error = (model.eval().forecast(batch).point - batch.future).square().mean()
    assert error < 0.3 * batch.future.var()  # where paths are drawn their noise adds up


@every_forecaster
def test_bfloat16_autocast_gives_nearly_the_same(name):
    model, batch = build(name).eval(), batch_of()
    with torch.autocast("cpu", torch.bfloat16):
        rough = model.forecast(batch)
        loss = model.step(batch).loss
    assert rough.point.dtype == torch.float32
    width = 2.0 if name == "counts" else 0.5  # a draw is a whole number
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
def test_a_recipe_builds_the_same_model_with_the_same_recipe(name):
    model = build(name)
    again = instantiate_task(model.build_spec())
    assert again.build_spec() == model.build_spec()
    assert [(n, p.shape) for n, p in again.named_parameters()] == [
        (n, p.shape) for n, p in model.named_parameters()
    ]


@pytest.mark.parametrize("name", [n for n in ALL if n not in (*JOINT, "SegRNNForecaster")])
def test_channels_that_are_forecast_alone_may_change_places(name):
    model, batch = build(name).eval(), batch_of()
    order = torch.tensor([2, 0, 1])
    moved = batch._replace(past=batch.past[..., order], future=batch.future[..., order])
    expected = model.forecast(batch)
    if expected.quantiles is not None:
        expected = expected._replace(quantiles=expected.quantiles[:, :, order])
    expected = expected._replace(point=expected.point[..., order])
    close(model.forecast(moved), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", [n for n in ALL if n not in JOINT])
def test_a_channel_is_forecast_from_itself_alone(name):
    model, batch = build(name).eval(), batch_of()
    other = batch.past.clone()
    other[..., 1] += 3 * torch.arange(PAST)
    before, after = (model.forecast(b).point for b in (batch, batch._replace(past=other)))
    changed = (before != after).any(1).any(0)
    assert changed.tolist() == [False, True, False]


@pytest.mark.parametrize("name", JOINT)
def test_channels_that_are_forecast_jointly_see_each_other(name):
    model, batch = build(name).eval(), batch_of()
    other = batch.past.clone()
    other[:, 2, 1] += 9
    before, after = (model.forecast(b).point for b in (batch, batch._replace(past=other)))
    assert (before != after).any(1).any(0).all()


@every_forecaster
def test_a_forecast_moves_with_the_scale_of_its_window(name):
    model, batch = build(name).eval(), batch_of()
    stretched = model.forecast(batch._replace(past=3 * batch.past)).point
    if name in ("quantiles", "SegRNNForecaster"):  # scaled by their last value: moved alone
        moved = model.forecast(batch._replace(past=batch.past + 50)).point
        torch.testing.assert_close(moved, model.forecast(batch).point + 50, atol=1e-3, rtol=1e-4)
    elif name not in ("counts", "DLinearForecaster"):  # whole numbers; a bias that is not scaled
        torch.testing.assert_close(stretched, 3 * model.forecast(batch).point, atol=0.05, rtol=1e-3)


@every_recurrent
def test_what_is_known_of_a_step_to_come_matters_from_that_step_on(name):
    model, batch = build(name, more=2, covariates=Covariates(2)).eval(), batch_of(known=2)
    features = batch.future_features.clone()
    features[:, 3] += 2
    before, after = (
        model.forecast(b).point for b in (batch, batch._replace(future_features=features))
    )
    changed = (before != after).flatten(2).any(2).any(0)
    later = name in RECURSIVE
    assert changed.tolist() == [False] * 3 + [True] + [later] * 2


@every_recurrent
def test_what_else_was_seen_matters(name):
    observed = 0 if name in RECURSIVE else 1
    model = build(name, more=1 + observed, covariates=Covariates(1)).eval()
    batch = batch_of(known=1, observed=observed)
    for column in range(1 + observed):
        features = batch.past_features.clone()
        features[:, -2, column] += 5
        other = model.forecast(batch._replace(past_features=features)).point
        assert (other != model.forecast(batch).point).any(2).any(1).all()


@pytest.mark.parametrize("known", [0, 1])
@every_recurrent
def test_what_describes_a_series_matters(name, known):
    model = build(name, more=known, covariates=Covariates(known, 2, [3, 20])).eval()
    batch = batch_of(known=known, statics=2, kinds=2)
    point = model.forecast(batch).point
    static = model.forecast(batch._replace(static=batch.static + 1)).point
    assert (static != point).any(2).any(1).all()
    for kind in range(2):
        codes = batch.category_codes.clone()
        codes[:, kind] = (codes[:, kind] + 1) % 3
        other = model.forecast(batch._replace(category_codes=codes)).point
        assert (other != point).any(2).any(1).all()


@every_recurrent
def test_a_window_with_all_that_is_known_is_forecast_the_same_alone(name):
    model = build(name, more=2, covariates=Covariates(2, 1, [3])).eval()
    batch = batch_of(known=2, statics=1, kinds=1)
    together = model.forecast(batch)
    for row in range(8):
        alone = model.forecast(pick(batch, slice(row, row + 1)))
        torch.testing.assert_close(alone.point[0], together.point[row], atol=1e-3, rtol=1e-4)


@every_forecaster
def test_a_call_with_windows_forecasts_them(name):
    model, batch = build(name).eval(), batch_of()
    expected = model.output.point(model.predict_params(batch))
    torch.testing.assert_close(model(batch.past), expected.flatten(1))
    assert model(batch.past).shape == (8, HORIZON * 3)


@pytest.mark.parametrize("name", RECURSIVE)
def test_teaching_is_to_forecast_one_step_after_the_true_values(name):
    """The loss of all steps in one call is that of as many forecasts of one step."""
    arguments = {"more": 1, "covariates": Covariates(1, 1)}
    model, batch = still(build(name, **arguments)), batch_of(known=1, statics=1)
    one = still(build(name, horizon=1, **arguments)).train()
    one.load_state_dict(model.state_dict())
    model.normalization = one.normalization = WindowNormalization("none", 3)
    values = torch.cat([batch.past, batch.future], 1)
    features = torch.cat([batch.past_features, batch.future_features], 1)
    losses = []
    for step in range(PAST, PAST + HORIZON):
        single = batch._replace(
            past=values[:, :step],
            future=values[:, step : step + 1],
            past_features=features[:, :step],
            future_features=features[:, step : step + 1],
        )
        losses.append(one.step(single).loss)
    torch.testing.assert_close(model.train().step(batch).loss, torch.stack(losses).mean())


def test_points_are_fed_back_as_if_they_had_come():
    encoder = EncoderOptions(normalization="none")
    model, batch = build("recursive", encoder=encoder).eval(), batch_of()
    point = model.forecast(batch).point
    (taught,) = model._teacher_forced(batch._replace(future=point))
    torch.testing.assert_close(taught, point)


@pytest.mark.parametrize("output", ["gaussian", "student_t", "negative_binomial"])
def test_paths_of_one_step_are_spread_as_the_distribution_is(output):
    options = OutputOptions(num_samples=500)
    model = build("counts", horizon=1, output=output, output_options=options).eval()
    batch = batch_of()
    batch = batch._replace(future=batch.future[:, :1], future_features=batch.future_features[:, :1])
    forecast = model.forecast(batch)
    parameters = model._teacher_forced(batch)
    expected = model.output.quantiles(parameters, LEVELS)
    spread = expected[..., -1:] - expected[..., :1]
    step = 1.0 if output == "negative_binomial" else 1e-3
    assert ((forecast.quantiles - expected).abs() <= 0.02 * spread + step).all()


@pytest.mark.parametrize("name", ["DeepARForecaster", "recursive, joint"])
def test_paths_are_drawn_anew_for_no_reason(name):
    model, batch = build(name).eval(), batch_of()
    first = model.forecast(batch)
    torch.manual_seed(7)
    close(model.forecast(batch), first, atol=0, rtol=0)


@pytest.mark.parametrize("decoding", ["direct", "recursive", "parallel"])
@pytest.mark.parametrize("independent", [True, False])
@pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize(
    ("output", "normalization"),
    [
        ("point", "none"),
        ("gaussian", "last"),
        ("student_t", "revin"),
        ("negative_binomial", "mean"),
    ],
)
def test_the_family_takes_any_layer_decoding_and_output(
    output, normalization, layer, independent, decoding
):
    torch.manual_seed(0)
    model = Forecaster(
        5, 8, 2, HORIZON * 3, horizon=HORIZON, layer=layer, decoding=decoding, output=output,
        encoder=EncoderOptions(
            normalization, 4 if decoding == "parallel" else 1, independent, initialization="torch"
        ),
        output_options=OutputOptions(num_samples=10), dropouts=Dropouts(head=0.2),
        covariates=Covariates(2, 1, [3]),
    )  # fmt: skip
    batch = batch_of(known=2, statics=1, kinds=1)
    model.step(batch).loss.backward()
    scores = model.eval().step(batch)
    assert scores.loss.isfinite()
    assert scores.predictions.point.isfinite().all()


def encoder(**options):
    return {"encoder": EncoderOptions(**options)}


def output_options(**options):
    return {"output_options": OutputOptions(**options)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "LSTN"}, "no recurrent layer LSTN: did you mean LSTM"),
        ({"num_layers": 0}, "num_layers must be at least 1, got 0"),
        ({"hidden_dim": 0}, "hidden_dim must be at least 1, got 0"),
        (output_options(num_samples=0), "num_samples must be at least 1, got 0"),
        (encoder(patch_length=0), "patch_length must be at least 1, got 0"),
        ({"output_dim": None}, "Forecaster needs output_dim, which the data does not provide"),
        ({"horizon": 5}, "output_dim must be a multiple of horizon, got 12 and 5"),
        ({"horizon": 0}, "output_dim must be a multiple of horizon, got 12 and 0"),
        ({"horizon": 3}, "4 target channels need input_dim of at least 4, got 2"),
        (encoder(normalization="min-max"), "normalization must be one of"),
        ({"output": "normal"}, "output must be one of"),
        (output_options(loss="mape"), "loss must be one of"),
        ({**output_options(loss="mae"), "output": "gaussian"}, "loss=mae requires output=point"),
        (output_options(quantiles=[0.5]), "quantiles requires output=quantiles, got output=point"),
        ({**output_options(quantiles=[0.1]), "output": "quantiles"}, "levels must be increasing"),
        ({"output": "negative_binomial"}, "negative_binomial does not support shifted windows"),
        ({"decoding": "parallel"}, "decoding=parallel needs encoder.patch_length above 1, got 1"),
        (
            {"decoding": "recursive", **encoder(patch_length=2)},
            "needs encoder.patch_length=1, got 2",
        ),
        (
            {"decoding": "recursive", "input_dim": 5},
            "past covariates, got 3: choose decoding=direct",
        ),
        ({"decoding": "recursive", "output": "quantiles"}, "samples what it feeds back"),
        ({"decoding": "backwards"}, "decoding must be one of"),
        (
            {"decoding": "parallel", **encoder(patch_length=2), "hidden_dim": 5},
            "hidden_dim must be even",
        ),
        ({"dropouts": Dropouts(layer=1.5), "num_layers": 2}, "dropout should be"),
        ({"dropouts": Dropouts(head=-0.5)}, "dropout probability has to be"),
    ],
)
def test_arguments_without_meaning_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):  # a UserError is one, too
        Forecaster(**{"input_dim": 2, "output_dim": 12, "horizon": 6, **arguments})


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
def test_baselines_refuse_what_has_no_meaning(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_season_longer_than_what_is_seen_is_refused_before_it_starts():
    model = SeasonalNaiveForecaster(4, season_length=24)
    with pytest.raises(
        UserError, match="season_length=24 needs input_length of at least 24, got 12"
    ):
        model.check_data(SimpleNamespace(input_length=12))
    model.check_data(SimpleNamespace(input_length=24))
    model.check_data(None)
