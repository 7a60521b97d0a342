"""Intervals of test scores over the rows of a test."""

import numpy as np
import pytest
from saved_runs import accuracy_run, classified

from rnn_lab.comparison.rows import read_rows
from rnn_lab.comparison.saved_run import read_run
from rnn_lab.reporting.intervals import interval


def test_accuracy_has_wilsons_interval(tmp_path):
    run = read_run(accuracy_run(tmp_path / "a", 0.8))
    low, high = interval(run, "test/accuracy", read_rows(run))
    z, n, p = 1.959964, 200, 0.8
    middle, half = p + z**2 / 2 / n, z * np.sqrt(p * (1 - p) / n + z**2 / 4 / n**2)
    expected = [(middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)]
    assert [low, high] == pytest.approx(expected, abs=1e-6)


def test_macro_f1_has_an_interval_by_the_bootstrap(tmp_path):
    run = read_run(accuracy_run(tmp_path / "a", 0.8))
    run.scores["test/f1"] = 0.8
    low, high = interval(run, "test/f1", read_rows(run))
    error = np.sqrt(0.8 * 0.2 / 200)
    assert low < 0.8 < high
    assert high - low == pytest.approx(2 * 1.97 * error, rel=0.15)


@pytest.mark.parametrize("rows", [{}, classified(0.5), classified(0.8, rows=5)])
def test_rows_that_do_not_determine_the_score_give_no_interval(rows, tmp_path):
    run = read_run(accuracy_run(tmp_path / "a", 0.8))
    assert interval(run, "test/accuracy", rows) is None
    run.scores["test/loss"] = 1.0
    assert interval(run, "test/loss", classified(0.8)) is None
