"""Lengths of texts for comparisons."""

import numpy as np
import pytest

from rnn_lab.benchmarks import lengths


def test_generated_lengths_are_like_those_of_sentences():
    drawn = lengths.generated_lengths(np.random.default_rng(0))
    assert drawn.min() >= 1
    assert drawn.max() <= 60
    assert np.median(drawn) == pytest.approx(18, abs=2)


def test_without_datasets_lengths_are_generated_and_repeat(monkeypatch, tmp_path):
    monkeypatch.setenv("RNN_LAB_DATA", str(tmp_path))
    batches = lengths.length_batches()
    assert list(batches) == ["generated lengths"]
    assert np.shape(batches["generated lengths"]) == (4, 64)
    assert batches == lengths.length_batches()


@pytest.mark.data
def test_lengths_of_datasets_are_used_where_they_are():
    batches = lengths.length_batches()
    assert list(batches) == ["generated lengths", "lengths of SST2", "lengths of IMDB"]
    assert max(map(max, batches["lengths of IMDB"])) == lengths.MAX_STEPS
