"""Differences of scores, costs and metrics over training, from the files of runs."""

import math
from dataclasses import replace

import numpy as np
import pytest
from claim_runs import folders, hypothesis
from saved_runs import classified, experiment, write_run

from rnn_lab.claims.measure import (
    LARGEST,
    compared,
    counts_by_length,
    difference,
    measured,
    value_of,
)
from rnn_lab.comparison.saved_run import read_run
from rnn_lab.errors import UserError
from rnn_lab.io.run_files import METRICS

ACCURACIES = {"LSTM": [0.6, 0.62], "GRU": [0.8, 0.82]}


@pytest.fixture
def runs(tmp_path):
    experiment(tmp_path, ACCURACIES)
    found = folders(tmp_path, ACCURACIES)
    return {name: [read_run(folder) for folder in each] for name, each in found.items()}


def test_test_scores_are_compared_over_seeds_and_rows(runs):
    found = difference(hypothesis(), runs)
    assert found.value == pytest.approx(0.2)
    assert found.of_rows > 0
    group = next(g for g in compared(runs, "test/accuracy", "LSTM").groups if g.value == "GRU")
    assert found == group.difference
    reverse = hypothesis()
    reverse = type(reverse)(**(vars(reverse) | {"variant": "LSTM", "than": "GRU"}))
    assert difference(reverse, runs).value == pytest.approx(-0.2)


def test_costs_are_compared_by_ratios(runs):
    for each, cost in zip(runs["GRU"], (500, 500), strict=True):
        each.cost["parameters"] = cost
    found = difference(hypothesis("parameters", "lower"), runs)
    assert math.exp(found.value) == pytest.approx(0.5)
    assert found.of_seeds == 0


@pytest.mark.parametrize(
    ("reduction", "expected"), [("mean", 2.0), ("max", 4.0), ("min", 1.0), ("last", 1.0)]
)
def test_metrics_over_training_are_reduced_to_a_number(reduction, expected, runs):
    run = runs["GRU"][0]
    (run.folder / METRICS).write_text("step,val/loss\n1,4\n2,\n3,1\n4,1\n")
    assert value_of(run, f"{reduction} val/loss") == expected


def test_a_value_that_is_not_finite_is_the_largest_and_zero_has_a_logarithm(runs):
    run = runs["GRU"][0]
    (run.folder / METRICS).write_text("step,train/loss\n1,2\n2,inf\n")
    assert value_of(run, "max train/loss") == LARGEST
    (run.folder / METRICS).write_text("step,train/loss\n1,0\n")
    logs = measured(hypothesis("last train/loss", scale="log"), {"GRU": [run]})
    assert math.isfinite(logs["GRU"][0])


@pytest.mark.parametrize("metric", ["test/f2", "processor_seconds", "mean val/bleu"])
def test_a_metric_that_a_run_lacks_is_named(metric, runs):
    with pytest.raises(UserError, match=f"has no {metric.rpartition(' ')[2]}"):
        value_of(runs["GRU"][0], metric)


def test_scores_of_long_sources_are_those_of_their_rows_alone(tmp_path):
    runs = {}
    for name, correct in (("LSTM", 0.5), ("GRU", 0.9)):
        for seed in (1, 2):
            table = classified(correct, system=name, seed=seed)
            table["source_length"] = np.arange(200)
            scores = {"accuracy": correct}
            run = write_run(tmp_path / f"{name}{seed}", seed=seed, scores=scores, table=table)
            runs.setdefault(name, []).append(read_run(run))
    every = difference(hypothesis(min_source_length=1), runs)
    assert every.value == pytest.approx(0.4, abs=0.01)
    found = counts_by_length(runs["GRU"][0], "test/accuracy", 150)
    assert len(found.rows) == 50
    assert difference(hypothesis(min_source_length=150), runs).of_rows > every.of_rows
    with pytest.raises(UserError, match="has no test/accuracy of sources of at least 900 tokens"):
        counts_by_length(runs["GRU"][0], "test/accuracy", 900)


def test_rows_without_lengths_are_named(runs):
    with pytest.raises(UserError, match="has not saved the lengths of its sources"):
        difference(hypothesis(min_source_length=3), runs)


def test_a_run_that_diverged_has_the_largest_loss_and_error_and_no_accuracy(runs):
    for number, run in enumerate(runs["LSTM"]):
        state = {"state": "failed", "reason": "loss is nan at step 9: no checkpoint"}
        runs["LSTM"][number] = replace(run, state=state, scores={})
    run = runs["LSTM"][0]
    for metric in ("max train/loss", "max train/gradient_norm", "test/mse"):
        assert value_of(run, metric) == LARGEST
    assert value_of(run, "test/accuracy") == 0.0
    assert value_of(run, "parameters") == 1000
    found = difference(hypothesis(), runs)
    assert found.value == pytest.approx(0.81)
