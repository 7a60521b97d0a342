"""A W&B sweep has the values of our space, each entry in W&B's own meaning, or is refused."""

import json
import math

import numpy as np
import pytest
import yaml
from optuna.distributions import CategoricalDistribution

from rnn_lab.errors import UserError
from rnn_lab.sweeps.space import read_space
from rnn_lab.sweeps.study import Settings
from rnn_lab.sweeps.wandb_config import METHODS, sweep_config

LOSS = Settings("val/loss", "min")
ENTRIES = [
    "[LSTM, GRU, null]",
    "[true, false]",
    "[1, 2.5, '3', yes]",
    "{uniform: [0, 0.5]}",
    "{uniform: [0, 0.5], step: 0.1}",
    "{uniform: [0.05, 1], step: 0.3}",
    "{log: [1e-4, 1e-2]}",
    "{int: [1, 4]}",
    "{int: [64, 512], step: 64}",
    "{int: [3, 12], step: 4}",
]


def space_of(tmp_path, entry):
    path = tmp_path / "space.yaml"
    path.write_text(f"model.a: {entry}\n")
    return read_space(path)


def parameter(tmp_path, entry):
    space = space_of(tmp_path, entry)
    config = yaml.safe_load(yaml.safe_dump(sweep_config(space, LOSS, 3, [])))
    assert config == json.loads(json.dumps(config))  # W&B stores it as JSON
    return space["model.a"], config["parameters"]["model.a"]


def drawn(entry, count=50):
    """Values at evenly spaced quantiles, as W&B documents its distributions."""
    if "values" in entry:
        return entry["values"]
    assert entry.keys() == {"distribution", "min", "max"}
    low, high, share = entry["min"], entry["max"], np.linspace(0, 1, count)
    if entry["distribution"] == "log_uniform_values":
        logs = math.log(low) + share * (math.log(high) - math.log(low))
        return [low, *np.exp(logs[1:-1]).tolist(), high]
    if entry["distribution"] == "int_uniform":
        assert isinstance(low, int)
        return [*range(low, high + 1)]
    assert entry["distribution"] == "uniform"
    return (low + share * (high - low)).tolist()


@pytest.mark.filterwarnings("ignore:The distribution is specified by")  # 11 is the last of 3, 7
@pytest.mark.parametrize("entry", ENTRIES)
def test_values_of_w_and_b_are_those_of_the_space(entry, tmp_path):
    ours, theirs = parameter(tmp_path, entry)
    values = drawn(theirs)
    if isinstance(ours, CategoricalDistribution):
        loaded = [yaml.safe_load(str(v)) if v in (True, False, "null") else v for v in values]
        assert [*map(repr, loaded)] == [*map(repr, ours.choices)]
        return
    assert all(ours._contains(ours.to_internal_repr(value)) for value in values)
    assert (min(values), max(values)) == (ours.low, ours.high)
    assert {*map(type, values)} == {type(ours.low)}
    if ours.step is not None:
        assert len(values) == round((ours.high - ours.low) / ours.step) + 1


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("[1.0, .inf]", "W&B has no value inf, which model.a may have"),
        ("{int: [0, 9000], step: 2}", "model.a has 4,501 values, of which W&B is given a list"),
    ],
)
def test_what_w_and_b_cannot_express_is_refused(entry, message, tmp_path):
    with pytest.raises(UserError, match=message):
        parameter(tmp_path, entry)


@pytest.mark.parametrize("sampler", METHODS)
def test_sampler_metric_and_number_of_trials(sampler, tmp_path):
    space = space_of(tmp_path, "[1, 2]")
    config = sweep_config(space, Settings("val/f1", "max", sampler), 7, ["-c", "base"])
    assert (config["method"], config["run_cap"]) == (METHODS[sampler], 7)
    assert config["metric"] == {"name": "val/f1", "goal": "maximize"}
    assert config["command"][:5] == ["${env}", "rnn-lab", "fit", "-c", "base"]
    assert config["command"][-1] == "${args}"
    assert "early_terminate" not in config


def test_hyperband_is_that_of_w_and_b_and_median_is_refused(tmp_path):
    space = space_of(tmp_path, "[1, 2]")
    config = sweep_config(space, Settings("val/loss", "min", pruner="hyperband"), 7, [])
    assert config["early_terminate"] == {"type": "hyperband", "min_iter": 1, "eta": 3}
    with pytest.raises(UserError, match="W&B has no median pruner"):
        sweep_config(space, Settings("val/loss", "min", pruner="median"), 7, [])


def test_an_option_that_an_agent_would_replace_is_refused(tmp_path):
    with pytest.raises(UserError, match="W&B would replace a part of"):
        sweep_config(space_of(tmp_path, "[1]"), LOSS, 1, ["--data.root=${envvar:HOME}"])
