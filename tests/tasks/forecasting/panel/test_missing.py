"""Counts of missing values."""

import numpy as np
import pytest

from rnn_lab.tasks.forecasting.panel.missing import MissingValues


@pytest.mark.parametrize("at_once", [1, 2, 3, 100])
def test_counts_agree_with_whole_series_for_every_size_of_chunks(at_once: int) -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 9, 20)
    series = np.repeat(np.arange(20), lengths)
    index = np.concatenate([np.arange(length) for length in lengths])
    missing = rng.random((len(series), 3)) < 0.6
    values = MissingValues(20, num_targets=2)
    for start in range(0, len(series), at_once):
        rows = slice(start, start + at_once)
        values.add(series[rows], index[rows], missing[rows])
    counts, firsts = [], []
    for name in range(20):
        own = missing[series == name]
        observed = np.flatnonzero(~own[:, :2].all(1))
        past = own[: observed[-1] + 1] if len(observed) else own[:0]
        counts.append(past.sum())
        firsts += [(name, int(row)) for row in np.flatnonzero(past.any(1))[:1]]
    assert values.count == sum(counts) > 0
    assert values.first() == firsts[0]


def test_complete_series_have_no_first_missing_value() -> None:
    values = MissingValues(1, num_targets=1)
    values.add(np.zeros(3, int), np.arange(3), np.array([[False], [False], [True]]))
    assert values.count == 0
    with pytest.raises(ValueError, match="no value is missing"):
        values.first()
