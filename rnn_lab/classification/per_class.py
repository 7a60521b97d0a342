"""Scores of each class: precision, recall, F1 and support."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnn_lab.io.text_tables import aligned


class ClassScores(NamedTuple):
    """Scores of one class; None where nothing was predicted or nothing is true.

    Attributes:
        label: Name of the class.
        precision: Fraction of correct predictions among those of the class.
        recall: Fraction of correctly predicted rows among those of the class.
        f1: Harmonic mean of both.
        support: Number of rows of the class.
    """

    label: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


def scores_per_class(matrix: np.ndarray, labels: Sequence[str]) -> list[ClassScores]:
    """Compute the scores of each class from a confusion matrix.

    Args:
        matrix: Counts, true class by predicted class, `(classes, classes)`; of several labels,
            a matrix of absent and present for each label, `(labels, 2, 2)`.
        labels: Names of the classes.
    """
    if matrix.ndim == 3:
        correct, support, predicted = matrix[:, 1, 1], matrix[:, 1].sum(1), matrix[:, :, 1].sum(1)
    else:
        correct, support, predicted = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    counts = zip(labels, *(n.tolist() for n in (correct, predicted, support)), strict=True)
    return [
        ClassScores(
            label, _ratio(hits, guesses), _ratio(hits, rows), _ratio(2 * hits, guesses + rows), rows
        )
        for label, hits, guesses, rows in counts
    ]


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def format_scores(scores: Sequence[ClassScores]) -> str:
    """Format the scores as a table with a header."""
    header = ["class", *ClassScores._fields[1:]]
    rows = [header, *([_cell(value) for value in each] for each in scores)]
    return "\n".join(aligned(rows, left=1))


def describe_baseline(scores: Sequence[ClassScores]) -> str:
    """Describe the accuracy of predicting the most frequent class for every row.

    Example:
        >>> describe_baseline([ClassScores("a", 1, 1, 1, 3), ClassScores("b", 1, 1, 1, 1)])
        "predicting 'a', the most frequent class, for every row has an accuracy of 0.7500"
    """
    most = max(scores, key=lambda each: each.support)
    accuracy = most.support / max(sum(each.support for each in scores), 1)
    name = f"{most.label!r}, the most frequent class,"
    return f"predicting {name} for every row has an accuracy of {accuracy:.4f}"


def _cell(value: str | float | None) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "-" if value is None else str(value)
