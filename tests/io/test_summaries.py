"""Summaries of data for the log."""

import numpy as np

from rnn_lab.io.summaries import describe_lengths, describe_outlier, format_counts


def test_classes_are_listed_by_their_frequency() -> None:
    assert format_counts(["a", "b", "c"], [3, 2000, 0]) == "b 2,000, a 3, c 0"
    assert format_counts(["5", "10"], [3, 68]) == "'10' 68, '5' 3"
    many = format_counts([f"c{i}" for i in range(50)], range(50))
    assert many.startswith("c49 49, c48 48, ")
    assert many.endswith("c40 40 and 40 more classes, of which the smallest has 0")


def test_lengths_are_described_by_percentiles() -> None:
    lengths = np.arange(1, 2002)
    assert describe_lengths("text", lengths) == (
        "tokens per text: median 1,001, 5 % have at most 101 and 5 % at least 1,901 "
        "(shortest 1, longest 2,001)"
    )


def test_only_a_length_far_above_the_usual_ones_is_an_outlier() -> None:
    usual = np.full(100, 20)
    assert describe_outlier("text", np.append(usual, [100] * 6 + [900]), "cut") == ""
    assert describe_outlier("text", np.append(usual, 4000), "cut") == (
        "the longest text has 4,000 tokens, to which its batches are padded, with memory and time "
        "in proportion: cut"
    )
    assert describe_outlier("text", np.append(usual * 60, 4000), "cut") == ""
