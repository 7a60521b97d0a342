"""Reasons why runs may not be comparable are named."""

import re

import pytest
from saved_runs import accuracy_run

from rnn_lab.comparison.comparability import unlike, unlike_within
from rnn_lab.comparison.saved_run import read_run


def pair(tmp_path, seed=2, one=None, **other):
    return [
        read_run(accuracy_run(tmp_path / "one", 0.5, seed=1, **(one or {}))),
        read_run(accuracy_run(tmp_path / "other", 0.5, seed=seed, **other)),
    ]


def test_runs_that_differ_in_the_seed_are_alike(tmp_path):
    runs = pair(tmp_path)
    assert [*unlike(runs), *unlike_within({"a": runs})] == []


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"state": {"state": "interrupted"}}, "other has not finished: interrupted"),
        ({"cost": {"data": {"version": "b"}}}, "trained on different versions of the data"),
        ({"cost": {"data": {"train_rows": 7}}}, r"different numbers of rows \(7, 9\)"),
        ({"cost": {"environment": {"processor": "X"}}}, r"different processors \(X, Y\)"),
    ],
    ids=["state", "version", "rows", "processor"],
)
def test_what_is_unlike_is_named(other, reason, tmp_path):
    recorded = {"data": {"version": "a", "train_rows": 9}, "environment": {"processor": "Y"}}
    (found,) = unlike(pair(tmp_path, one={"cost": recorded}, **other))
    assert re.search(reason, found)


def test_another_split_is_named(tmp_path):
    runs = pair(tmp_path)
    runs[1].options["data.split.seed"] = "1"
    (found,) = unlike(runs)
    assert found == "the runs differ in how the data are split: data.split.seed"


def test_a_group_should_differ_in_seeds_alone(tmp_path):
    runs = pair(tmp_path, model={"hidden_dim": 8})
    (found,) = unlike_within({"LSTM": runs})
    assert found.startswith("the runs of LSTM also differ in model.hidden_dim (-, 8): their spread")


def test_a_seed_that_occurs_twice_is_named(tmp_path):
    assert [*unlike_within({"LSTM": pair(tmp_path, seed=1)})] == ["2 runs of LSTM have the seed 1"]
