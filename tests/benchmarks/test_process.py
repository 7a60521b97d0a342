"""Processes that measure."""

from dataclasses import replace

import pytest

from rnn_lab.benchmarks import layers, process
from rnn_lab.benchmarks.measure import measure
from rnn_lab.benchmarks.settings import Settings
from rnn_lab.errors import UserError

SETTINGS = Settings(True, layers=("GRU",), plain_too=True)


@pytest.fixture
def comparison():
    return next(layers.comparisons(SETTINGS, [(2, 3, 4)]))


@pytest.mark.slow
def test_variants_with_other_environments_are_measured_in_turns(comparison):
    result = measure(comparison, 2)
    assert [each.name for each in result.variants] == [
        "nn.LSTM", "nn.GRU", "nn.RNN", "GRU", "GRU, plain",
    ]  # fmt: skip
    assert all(len(each.samples) == 2 for each in result.variants)
    assert result.gemm > 0


@pytest.mark.slow
def test_a_process_that_cannot_build_ends_with_one_error(comparison):
    wrong = replace(comparison, options={**comparison.options, "units": -1})
    with pytest.raises(UserError, match=r"^layers, 2 x 3 x 4, 1 thread: a process ended"):
        measure(wrong, 2)


def test_a_process_that_ends_early_is_reported(comparison, monkeypatch):
    monkeypatch.setattr(process.sys, "executable", "false")
    with pytest.raises(UserError, match="a process ended with status 1"):
        measure(comparison, 2)
