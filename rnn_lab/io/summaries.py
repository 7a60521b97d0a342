"""Summaries of data for the log: counts of classes and percentiles of lengths."""

from collections.abc import Sequence

import numpy as np

from rnn_lab.io.lines import format_names

SHOWN_CLASSES = 10


def format_counts(names: Sequence[str], counts: Sequence[int]) -> str:
    """Format the number of rows of each class, most frequent ones first, in one line."""
    pairs = sorted(zip(names, counts, strict=True), key=lambda pair: -pair[1])
    shown = format_names([f"{name} {count:,}" for name, count in pairs[:SHOWN_CLASSES]])
    if len(pairs) <= SHOWN_CLASSES:
        return shown
    fewest = f"the smallest has {pairs[-1][1]:,}"
    return f"{shown} and {len(pairs) - SHOWN_CLASSES:,} more classes, of which {fewest}"


def describe_lengths(what: str, lengths: np.ndarray, unit: str = "tokens") -> str:
    """Describe the distribution of lengths in one line.

    Args:
        what: What has a length, in the singular.
        lengths: Lengths, `(rows,)`, at least one.
        unit: Unit of the lengths.
    """
    shortest, *middle, longest = np.percentile(lengths, [0, 5, 50, 95, 100]).round().astype(int)
    low, median, high = middle
    return (
        f"{unit} per {what}: median {median:,}, 5 % have at most {low:,} and 5 % at least "
        f"{high:,} (shortest {shortest:,}, longest {longest:,})"
    )
