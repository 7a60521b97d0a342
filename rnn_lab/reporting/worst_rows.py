"""Rows of a test with the worst results, from what the test has saved of each row."""

import numpy as np

from rnn_lab.comparison.scores import Columns, counts_of, higher_is_better
from rnn_lab.io.text_tables import four_digits
from rnn_lab.reporting.parts import Table, shortened

SHOWN = 20
METRICS = ("chrf", "mse", "mae", "accuracy")  # the first that the rows determine is used
IDENTIFIERS = ("row", "series", "origin", "target", "prediction", "steps", "correct")
NAMES = {"chrf": "chrF", "mse": "MSE", "mae": "MAE"}


def worst_rows(rows: Columns, sources: dict[str, str] | None = None) -> Table | None:
    """Return the rows with the worst scores, the worst first.

    Args:
        rows: What the test has saved of each row.
        sources: Source sentence by reference, in translation.

    Returns:
        A table; None if the rows have no score of their own, or if all are correct.
    """
    metric = next((name for name in METRICS if counts_of(name, rows) is not None), None)
    counts = counts_of(metric, rows) if metric else None
    if metric is None or counts is None:
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        scores = np.asarray(counts.score(counts.rows), float)
    sign = -1.0 if higher_is_better(metric) else 1.0
    badness = np.where(np.isfinite(scores), sign * scores, -np.inf)
    confidence = rows.get("probability", np.zeros(len(scores)))
    order = np.lexsort([-confidence, -badness])[:SHOWN]  # the most confident errors first
    best = {"chrf": -100.0, "accuracy": -1.0}.get(metric, 0.0)
    chosen = [int(row) for row in order if badness[row] > best + 1e-6]
    if not chosen:
        return None
    names = [name for name in IDENTIFIERS if name in rows]
    classified = "probability" in rows
    last = "probability" if classified else NAMES.get(metric, metric)
    values = rows["probability"] if classified else scores
    cells = [
        [*(_cell(rows[name][row]) for name in names), four_digits(float(values[row]))]
        for row in chosen
    ]
    if sources:
        names.insert(1, "source")
        for line, row in zip(cells, chosen, strict=True):
            line.insert(1, shortened(sources.get(str(rows["target"][row]), "")))
    return Table([*names, last], cells, len(names))


def _cell(value: object) -> str:
    if isinstance(value, np.ndarray | list | tuple):
        return ", ".join(map(_cell, value))
    if isinstance(value, float | np.floating):
        return four_digits(float(value))
    text = str(value)
    return shortened(text.removesuffix(".000000000").removesuffix("T00:00:00"))
