"""Models of counts need unscaled counts, and forecast whole numbers."""

import numpy as np
import pandas as pd
import pytest
import torch
from forecasters import batch_of, build

from rnn_lab.errors import UserError
from rnn_lab.models import Forecaster, LSTMForecaster, SeasonalNaiveForecaster
from rnn_lab.tasks.forecasting.options import EncoderOptions

SIZES = {"output_dim": 4, "horizon": 4}


def counts(rows=60):
    dates = pd.date_range("2024-01-01", periods=rows).astype(str)
    return pd.DataFrame({"ds": dates, "y": np.random.default_rng(0).poisson(3.0, rows) * 1.0})


def model():
    encoder = EncoderOptions(normalization="mean")
    return Forecaster(1, 4, **SIZES, output="negative_binomial", encoder=encoder)


def test_scaled_counts_are_refused_before_training(data_of, make_trainer):
    with pytest.raises(UserError, match=r"got scaling=standard: set --data.scaling=none"):
        make_trainer(max_epochs=1).fit(model(), data_of(counts()))


@pytest.mark.parametrize("value", [-1.0, 2.5])
def test_values_that_are_no_counts_are_refused_by_place(data_of, value):
    table = counts()
    table.loc[2, "y"], table.loc[7, "y"] = np.nan, value
    data = data_of(table, scaling="none")
    with pytest.raises(UserError, match=f"'y' is {value:g} at 2024-01-08.*choose another output"):
        model().check_data(data)


def test_the_series_of_a_value_that_is_no_count_is_named(data_of):
    table = pd.concat([counts().assign(unique_id=name) for name in ("a", "b")])
    table.iloc[65, 1] = 0.5
    data = data_of(table, scaling="none")
    with pytest.raises(UserError, match=r"'y' of 'b' is 0.5 at 2024-01-06"):
        model().check_data(data)


@pytest.mark.parametrize("scaling", ["standard", "none"])
def test_other_outputs_accept_any_values(data_of, scaling):
    table = counts()
    table["y"] = table["y"] - 1.5
    for task in (LSTMForecaster(1, 4, **SIZES), SeasonalNaiveForecaster(**SIZES)):
        task.check_data(data_of(table, scaling=scaling))


def test_unscaled_counts_are_accepted(data_of):
    model().check_data(data_of(counts(), scaling="none"))
    model().check_data(None)


@pytest.mark.parametrize("decoding", ["recursive", "direct"])
def test_quantiles_of_counts_are_whole_numbers(decoding):
    task = build("counts", decoding=decoding).eval()
    with torch.no_grad():
        quantiles = task.forecast(batch_of()).quantiles
    assert torch.equal(quantiles, quantiles.round())
    assert (quantiles >= 0).all()
