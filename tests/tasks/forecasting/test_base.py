"""Covariates, recursive decoding and invalid options of recurrent forecasters."""

import pytest
import torch
from forecasters import (
    HORIZON,
    PAST,
    RECURSIVE,
    batch_of,
    build,
    close,
    every_recurrent,
    pick,
    without_dropout,
)

from rnn_lab.models import (
    Forecaster,
)
from rnn_lab.tasks.forecasting.normalization import WindowNormalization
from rnn_lab.tasks.forecasting.options import (
    Covariates,
    Dropouts,
    EncoderOptions,
    OutputOptions,
)
from rnn_lab.tasks.forecasting.outputs import LEVELS


def encoder(**options):
    return {"encoder": EncoderOptions(**options)}


def output_options(**options):
    return {"output_options": OutputOptions(**options)}


@every_recurrent
def test_a_future_covariate_affects_its_step_and_recursively_later_ones(name):
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
def test_past_values_of_covariates_affect_the_forecast(name):
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
def test_static_covariates_affect_the_forecast(name, known):
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
def test_the_forecast_of_a_window_with_covariates_does_not_depend_on_its_batch(name):
    model = build(name, more=2, covariates=Covariates(2, 1, [3])).eval()
    batch = batch_of(known=2, statics=1, kinds=1)
    together = model.forecast(batch)
    for row in range(8):
        alone = model.forecast(pick(batch, slice(row, row + 1)))
        torch.testing.assert_close(alone.point[0], together.point[row], atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("name", RECURSIVE)
def test_teacher_forcing_equals_one_step_forecasts_from_true_values(name):
    """The loss over all steps in one pass equals the mean loss of one-step forecasts."""
    arguments = {"more": 1, "covariates": Covariates(1, 1)}
    model, batch = without_dropout(build(name, **arguments)), batch_of(known=1, statics=1)
    one = without_dropout(build(name, horizon=1, **arguments)).train()
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


def test_point_forecasts_are_fed_back_like_observed_values():
    encoder = EncoderOptions(normalization="none")
    model, batch = build("recursive", encoder=encoder).eval(), batch_of()
    point = model.forecast(batch).point
    (teacher_forced,) = model._teacher_forced(batch._replace(future=point))
    torch.testing.assert_close(teacher_forced, point)


@pytest.mark.parametrize("output", ["gaussian", "student_t", "negative_binomial"])
def test_samples_of_one_step_follow_the_predicted_distribution(output):
    options = OutputOptions(num_samples=500)
    model = build("counts", horizon=1, output=output, output_options=options).eval()
    batch = batch_of()
    batch = batch._replace(future=batch.future[:, :1], future_features=batch.future_features[:, :1])
    forecast = model.forecast(batch)
    params = model._teacher_forced(batch)
    expected = model.output.quantiles(params, LEVELS)
    spread = expected[..., -1:] - expected[..., :1]
    step = 1.0 if output == "negative_binomial" else 1e-3
    assert ((forecast.quantiles - expected).abs() <= 0.02 * spread + step).all()


@pytest.mark.parametrize("name", ["DeepARForecaster", "recursive, joint"])
def test_sample_paths_do_not_depend_on_the_global_random_state(name):
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
def test_any_layer_decoding_and_output_can_be_combined(
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
    ],
)
def test_invalid_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):  # a UserError is one, too
        Forecaster(**{"input_dim": 2, "output_dim": 12, "horizon": 6, **arguments})
