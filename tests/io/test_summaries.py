"""Summaries of data for the log."""

import numpy as np

from rnn_lab.io.summaries import describe_lengths, format_counts


def test_classes_are_listed_by_their_frequency() -> None:
    assert format_counts(["a", "b", "c"], [3, 2000, 0]) == "b 2,000, a 3, c 0"
    many = format_counts([f"c{i}" for i in range(50)], range(50))
    assert many.startswith("c49 49, c48 48, ")
    assert many.endswith("c40 40 and 40 more classes, of which the smallest has 0")


def test_lengths_are_described_by_percentiles() -> None:
    lengths = np.arange(1, 2002)
    assert describe_lengths("text", lengths) == (
        "tokens per text: median 1,001, 5 % have at most 101 and 5 % at least 1,901 "
        "(shortest 1, longest 2,001)"
    )
