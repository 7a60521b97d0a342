"""Groups of options in models and on the command line."""

import re

import pytest
from forecast_runs import error_line

from rnn_lab.errors import UserError
from rnn_lab.models import Forecaster, LSTMForecaster
from rnn_lab.tasks.forecasting.options import Covariates, Dropouts, EncoderOptions, OutputOptions


@pytest.mark.parametrize("group", [Covariates, Dropouts, EncoderOptions, OutputOptions])
def test_groups_have_defaults_and_are_documented(group):
    assert group() == group()
    assert all(f"{name}: " in group.__doc__ for name in group.__dataclass_fields__)


def test_a_mapping_builds_the_same_model_as_a_group():
    group = EncoderOptions(patch_length=4)
    first = Forecaster(1, encoder=group)
    second = Forecaster(1, encoder={"patch_length": 4})
    assert first.encoder == second.encoder == group
    assert LSTMForecaster(3, covariates={"future_dim": 2}).covariates == Covariates(2)


def test_an_unknown_option_is_refused():
    with pytest.raises(UserError, match="Dropouts has no option 'heads'"):
        Forecaster(1, dropouts={"heads": 0.1})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dropouts": {"layer": 7.0}}, "dropouts.layer must be at least 0 and below 1, got 7.0"),
        ({"dropouts": {"head": -0.5}}, "dropouts.head must be at least 0 and below 1, got -0.5"),
        ({"covariates": {"future_dim": -1}}, "covariates.future_dim must be at least 0, got -1"),
    ],
    ids=["layer", "head", "future_dim"],
)
def test_an_invalid_value_is_refused_by_name(options, message):
    with pytest.raises(UserError, match=re.escape(message)):
        Forecaster(1, **options)


def test_an_invalid_value_is_refused_by_name_on_the_command_line(capsys):
    line = ["fit", "--model=Forecaster", "--data=SyntheticSeries", "--model.dropouts.layer=7"]
    assert "dropouts.layer must be at least 0 and below 1, got 7" in error_line(capsys, *line)
