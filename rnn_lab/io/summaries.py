"""Summaries of data for the log: counts of classes and percentiles of lengths."""

from collections.abc import Sequence

import numpy as np

from rnn_lab.io.lines import format_names

SHOWN_CLASSES = 10
OUTLIER_LENGTH, OUTLIER_RATIO = 1000, 10  # in steps, and times the 95th percentile


def format_counts(names: Sequence[str], counts: Sequence[int]) -> str:
    """Format the number of rows of each class, most frequent ones first, in one line.

    Names are quoted if one of them is a number.
    """
    quoted = [repr(name) for name in names] if any(map(str.isdecimal, names)) else names
    pairs = sorted(zip(quoted, counts, strict=True), key=lambda pair: -pair[1])
    shown = format_names([f"{name} {count:,}" for name, count in pairs[:SHOWN_CLASSES]])
    if len(pairs) <= SHOWN_CLASSES:
        return shown
    fewest = f"the smallest has {pairs[-1][1]:,}"
    return f"{shown} and {len(pairs) - SHOWN_CLASSES:,} more classes, of which {fewest}"


def format_count(number: int, noun: str) -> str:
    """Format a number of things.

    Example:
        >>> format_count(1, "text"), format_count(2000, "text")
        ('1 text', '2,000 texts')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


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


def describe_outlier(what: str, lengths: np.ndarray, remedy: str, unit: str = "tokens") -> str:
    """Describe a length that makes batches many times as large as usual; empty if there is none.

    Args:
        what: What has a length, in the singular.
        lengths: Lengths, `(rows,)`, at least one.
        remedy: What shortens it.
        unit: Unit of the lengths.
    """
    usual, longest = np.percentile(lengths, [95, 100]).round().astype(int)
    if longest < OUTLIER_LENGTH or longest < OUTLIER_RATIO * usual:
        return ""
    return (
        f"the longest {what} has {longest:,} {unit}, to which its batches are padded, with memory "
        f"and time in proportion: {remedy}"
    )
