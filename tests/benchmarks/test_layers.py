"""Which layers are compared, that equal ones are equal, and that their operations are counted."""

import pytest

from rnn_lab.benchmarks import layers
from rnn_lab.benchmarks.comparison import check_equal
from rnn_lab.benchmarks.settings import Settings
from rnn_lab.errors import UserError
from rnn_lab.nn import LAYERS

UNITS, BATCH, STEPS = 16, 4, 10


@pytest.fixture
def planned():
    return list(layers.comparisons(Settings(quick=True), [(BATCH, STEPS, UNITS)]))


def values_of(comparison):
    built = layers.build(comparison.options, [each.implementation for each in comparison.variants])
    return {each.name: built[each.implementation].values() for each in comparison.variants}


def test_every_layer_is_compared_with_those_of_torch(planned):
    equal, _ = planned
    assert [each.name for each in equal.variants] == ["nn.LSTM", "nn.GRU", "nn.RNN", *LAYERS]
    assert equal.references == ("nn.LSTM", "nn.GRU", "nn.RNN")


def test_layers_of_torch_and_ours_are_equal_on_equal_and_unlike_lengths(planned):
    for comparison in planned:
        compared = {name for group in comparison.equal for name in group if len(group) > 1}
        assert {"LSTM", "GRU"} < compared
        check_equal(comparison, values_of(comparison))


def test_other_weights_are_noticed(planned):
    comparison = planned[1]
    values = values_of(comparison)
    with pytest.raises(UserError, match="do not compute the same"):
        check_equal(comparison, values | {"LSTM": values["GRU"]})


def test_a_step_processes_the_real_steps_of_a_batch(planned):
    for comparison in planned:
        step = layers.build(comparison.options, ["GRU"])["GRU"]
        seconds, items = step.run(0)
        assert seconds > 0
        assert items == sum(comparison.options["lengths"][0])


def test_threads_shapes_and_plain_kernels_multiply_what_is_compared():
    settings = Settings(True, layers=("GRU",), threads=(1, 2), plain_too=True)
    planned = list(layers.comparisons(settings, [(2, 3, 4), (3, 2, 4)]))
    assert [each.threads for each in planned] == [1, 1, 1, 2, 2, 2]
    assert len({each.title for each in planned}) == 6
    plain = planned[0].variants[-1]
    assert plain == ("GRU, plain", "GRU", {"RNN_LAB_NATIVE": "0"}) or plain.environment
    assert planned[0].equal == [["nn.GRU", "GRU", "GRU, plain"]]


def test_an_unknown_layer_is_refused():
    with pytest.raises(UserError, match="no recurrent layer GRUU: use RNN, LSTM"):
        next(layers.comparisons(Settings(layers=("GRUU",))))
