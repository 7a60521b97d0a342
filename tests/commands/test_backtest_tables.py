"""Tables that a backtest prints."""

import math
from types import SimpleNamespace

import pytest
import torch

from rnn_lab.commands._backtest_tables import SHOWN_TARGETS, score_tables
from rnn_lab.tasks.forecasting.backtest import ROLLING, Result

SCORES = {
    "mse": 0.25, "mae": 0.5, "crps": math.nan, "mase": 1.5, "coverage_80": 0.75,
    "coverage_95": 1.0,
}  # fmt: skip


def printed(errors):
    """Return the cells of each line of both tables."""
    computed = {name: torch.tensor(value) for name, value in SCORES.items()}
    metric = SimpleNamespace(compute=lambda: computed)
    text = score_tables([Result(name, metric) for name in errors], errors)
    upper, lower = text.split("\n\n")
    return upper.splitlines(), lower.splitlines()


def test_rolling_intervals_have_scores_but_no_errors_of_their_own():
    errors = {"load": {"mae": 1234.5, "rmse": 0.12345}}
    upper, lower = printed({"GRU": errors, f"GRU{ROLLING}": errors})
    assert "MSE, MAE and CRPS are of scaled values" in upper[0]
    assert upper[2].split() == ["GRU", "0.2500", "0.5000", "1.500", "75.0%", "100.0%"]
    assert upper[3].startswith("  rolling intervals")
    assert lower[0] == "errors of load in the units of the file"
    assert [line.split() for line in lower[1:]] == [
        ["model", "MAE", "RMSE"],
        ["GRU", "1234", "0.1235"],
    ]


@pytest.mark.parametrize("count", [2, 20])
def test_several_targets_have_a_column_each(count):
    errors = {f"y{i}": {"mae": float(i), "rmse": 0.0} for i in range(1, count + 1)}
    _, lower = printed({"GRU": errors, "drift": {"y2": {"mae": 7.0, "rmse": 7.0}}})
    of = "" if count == 2 else ", 6 of 20 targets"
    assert lower[0] == f"MAE of each target in the units of the file{of}"
    shown = range(1, min(count, SHOWN_TARGETS) + 1)
    assert lower[1].split() == ["model", *(f"y{i}" for i in shown)]
    assert lower[2].split() == ["GRU", *(f"{i}.000" for i in shown)]
    assert lower[3].split() == ["drift", "7.000"]
    assert lower[3].index("7.000") == lower[2].index("2.000")


def test_tables_of_long_names_fit_a_terminal():
    target = {"a quite long name of a target": {"mae": 1e-5, "rmse": 12345.0}}
    names = ["PatchedLSTMForecaster", f"PatchedLSTMForecaster{ROLLING}", "seasonal naive (24)"]
    upper, lower = printed(dict.fromkeys(names, target))
    assert max(map(len, [*upper[1:], *lower])) <= 80
