"""Confusion matrices as SVG, from saved targets and predictions."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from rnn_lab.comparison.scores import Columns
from rnn_lab.reporting.environment import ENVIRONMENT
from rnn_lab.reporting.parts import shortened

MAX_CLASSES = 30  # more do not fit a screen
MAX_LABEL = 22  # characters
CHARACTER, CELL = 7.0, 38  # pixels


def confusion(rows: Columns, labels: Sequence[str]) -> tuple[list[str], np.ndarray] | None:
    """Count true by predicted classes.

    Args:
        rows: What the test has saved of each row.
        labels: Known names of classes, in their order.

    Returns:
        Names of the classes, and counts `(classes, classes)`, true by predicted class; None if the
        rows have no single class each.
    """
    if not {"target", "prediction"} <= rows.keys() or not isinstance(rows["target"][0], str):
        return None
    if not {"probability", "probabilities"} & rows.keys():
        return None  # text that is not one of several classes
    both = {*map(str, rows["target"]), *map(str, rows["prediction"])}
    names = [*labels] if both <= {*labels} else sorted(both | {*labels})
    places = {name: number for number, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), np.int64)
    pairs = [[places[str(each)] for each in rows[name]] for name in ("target", "prediction")]
    np.add.at(counts, tuple(pairs), 1)
    return names, counts


def heat_map(labels: Sequence[str], counts: np.ndarray) -> Markup:
    """Draw a confusion matrix, of which colors are fractions of the true class.

    Args:
        labels: Names of the classes.
        counts: `(classes, classes)`, true by predicted class.
    """
    names = [shortened(name, MAX_LABEL) for name in labels]
    fractions = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    longest = CHARACTER * max(map(len, names))
    size = CELL * len(names)
    template = ENVIRONMENT.get_template("heat_map.svg")
    drawing = template.render(
        names=names, full=labels, counts=counts.tolist(), fractions=fractions.round(3).tolist(),
        left=round(longest) + 34, top=round(0.72 * longest) + 30, cell=CELL, size=size,
        right=round(0.72 * longest),
    )  # fmt: skip
    return Markup(drawing)
