"""Claims on speed time layers that compute the same, in turns."""

from dataclasses import replace

import pytest
from claim_runs import claim

from rnn_lab.benchmarks.comparison import Measured, Sample
from rnn_lab.benchmarks.machine import kernels
from rnn_lab.claims import timing
from rnn_lab.claims.timing import LayerTiming, layer_timing, time_layers
from rnn_lab.errors import UserError

LAYERS = {"padded": "nn.LSTM, padded", "packed": "nn.LSTM, packed", "ours": "LSTM"}
CLAIM = replace(
    claim(),
    config="",
    benchmark="layers",
    variants={name: {"layer": layer} for name, layer in LAYERS.items()},
)


def test_options_are_those_of_the_claim():
    found = layer_timing(replace(CLAIM, options={"units": 8}))
    assert found == LayerTiming(LAYERS, units=8)
    assert found.options("ours") == {
        **{"units": 8, "batch_size": 64, "batches": 4, "rounds": 5, "layer": "LSTM"},
        "kernels": kernels(),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": {"unit": 8}}, "gru: the benchmark has no option unit: use 'units', 'batch"),
        ({"options": {"units": 0}}, "gru: units must be a whole number of at least 1, got 0"),
        ({"options": {"rounds": True}}, "rounds must be a whole number of at least 1, got True"),
        ({"options": {"rounds": "x"}}, "rounds must be a whole number of at least 1, got 'x'"),
        ({"variants": {"a": {}, "b": {}}}, "gru: the variant a must set layer and nothing else"),
        ({"variants": {"a": {"layer": "nn.LSTM, pack"}}}, "'nn.LSTM, pack': did you mean 'nn.LST"),
        ({"variants": {"a": {"layer": "x"}}}, "gru: there is no layer 'x': use 'RNN', 'LSTM'"),
        ({"variants": {"a": {"layer": 3}}}, "gru: there is no layer 3: use 'RNN', 'LSTM'"),
    ],
    ids=["option", "zero", "truth", "text", "no layer", "near", "unknown", "number"],
)
def test_a_mistake_is_named(change, message):
    with pytest.raises(UserError) as raised:
        layer_timing(replace(CLAIM, **change))
    assert message in str(raised.value)


def test_each_batch_counts_with_the_median_of_its_rounds(monkeypatch):
    asked = []

    def measure(comparison, rounds):
        asked.append((comparison, rounds))
        samples = [Sample(seconds, 1) for seconds in (1.0, 10.0, 2.0, 30.0, 9.0, 20.0)]
        return type("Result", (), {"variants": [Measured("ours", samples, 0.0, 2.0, "none")]})

    monkeypatch.setattr(timing, "measure", measure)
    shape = LayerTiming(LAYERS, batch_size=5, batches=2, rounds=3)
    assert time_layers(shape, 1) == {"ours": (2.0 + 20.0, 2e6)}
    time_layers(shape, 1)
    time_layers(shape, 2)
    first, again, other = (comparison for comparison, _ in asked)
    assert asked[0][1] == 6
    assert [len(each) for each in first.options["lengths"]] == [5, 5]
    assert first.options == again.options != other.options
    assert first.equal == [[*LAYERS]]


@pytest.mark.slow
def test_layers_are_timed_that_compute_the_same():
    costs = time_layers(LayerTiming(LAYERS, units=4, batch_size=3, batches=2, rounds=1), 1)
    assert [*costs] == [*LAYERS]
    assert all(each.seconds > 0 for each in costs.values())


@pytest.mark.slow
def test_layers_that_compute_something_else_are_not_timed():
    shape = LayerTiming({"a": "LSTM", "b": "GRU"}, units=4, batch_size=3, batches=1, rounds=1)
    with pytest.raises(UserError, match="a and b do not compute the same"):
        time_layers(shape, 1)
