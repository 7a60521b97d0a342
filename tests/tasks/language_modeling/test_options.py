import pytest

from rnn_lab.errors import UserError
from rnn_lab.tasks.language_modeling.options import ActivationRegularization, Dropouts


def test_scaling_multiplies_probabilities_and_nothing_else():
    dropouts = Dropouts(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, variational=False)
    assert dropouts.scaled(1.0) == dropouts
    assert dropouts.scaled(0) == Dropouts(variational=False)
    assert dropouts.scaled(0.5).weight_drop == 0.25


def test_layers_receive_only_the_options_that_are_set():
    assert Dropouts(input=0.5).of_layer() == {}
    assert Dropouts(zoneout=0.1).of_layer() == {"zoneout": 0.1}
    assert Dropouts(weight_drop=0.2, zoneout=0.1).of_layer() == {"weight_drop": 0.2, "zoneout": 0.1}


@pytest.mark.parametrize("name", ["activation", "temporal"])
def test_negative_regularization_is_refused(name):
    with pytest.raises(UserError, match=rf"regularization\.{name} must be at least 0, got -1"):
        ActivationRegularization(**{name: -1})
