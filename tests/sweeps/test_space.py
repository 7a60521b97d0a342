"""Spaces are lists of values and intervals of numbers; anything else is refused in one line."""

from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from rnn_lab.errors import UserError
from rnn_lab.sweeps.space import grid, read_space, samples


def space(tmp_path: Path, text: str):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    return read_space(path)


def test_lists_and_intervals(tmp_path):
    text = """
model.layer: [LSTM, GRU, null]
model.optimizer.lr: {log: [1e-4, 1e-2]}
model.dropout: {uniform: [0, 0.5], step: 0.1}
model.hidden_dim: {int: [64, 512], step: 64}
"""
    assert space(tmp_path, text) == {
        "model.layer": CategoricalDistribution(["LSTM", "GRU", None]),
        "model.optimizer.lr": FloatDistribution(1e-4, 1e-2, log=True),
        "model.dropout": FloatDistribution(0, 0.5, step=0.1),
        "model.hidden_dim": IntDistribution(64, 512, step=64),
    }


@pytest.mark.parametrize(
    "value",
    [
        *(
            "LSTM",
            "[]",
            "[[1]]",
            "{}",
            "{log: [0, 1]}",
            "{log: [1, 2], step: 1}",
            "{int: [1.5, 2]}",
        ),
        *("{uniform: [1]}", "{normal: [0, 1]}", "{uniform: [1, 1]}", "{uniform: [2, 1]}"),
        *("{uniform: [0, 1], q: 1}", "{int: [a, b]}", "{uniform: 3}"),
    ],
)
def test_other_values_are_refused(value, tmp_path):
    with pytest.raises(UserError, match=r"space.yaml: model.a must be a list of values") as error:
        space(tmp_path, f"model.a: {value}\n")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must map options to"),
        ("- 1", "must map options to"),
        ("a: [", "cannot be read: while parsing"),
        ("name: [a, b]", "name cannot vary between trials"),
        ("seed_everything: [1, 2]", "seed_everything cannot vary"),
    ],
    ids=["empty", "list", "broken", "name", "seed"],
)
def test_files_that_are_no_space_are_refused(text, message, tmp_path):
    with pytest.raises(UserError, match=message):
        space(tmp_path, text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"missing.yaml cannot be read: No such file"):
        read_space(tmp_path / "missing.yaml")


def test_a_grid_has_all_points_of_lists_and_integers(tmp_path):
    points = grid(space(tmp_path, "a: [x, y]\nb: {int: [1, 5], step: 2}"))
    assert points == [{"a": a, "b": b} for a in "xy" for b in (1, 3, 5)]
    assert grid(space(tmp_path, "a: [x]\nb: {uniform: [0, 1]}")) is None


def test_samples_have_every_value_and_both_bounds(tmp_path):
    points = list(samples(space(tmp_path, "a: [x, y, z]\nb: {int: [1, 5]}")))
    assert points == [
        {"a": "x", "b": 1}, {"a": "y", "b": 1}, {"a": "z", "b": 1}, {"a": "x", "b": 5}
    ]  # fmt: skip
