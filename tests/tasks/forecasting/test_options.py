"""Groups of options in models and on the command line."""

import pytest

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
