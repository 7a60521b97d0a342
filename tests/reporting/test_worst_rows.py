"""The rows with the worst results."""

import numpy as np

from rnn_lab.reporting.worst_rows import worst_rows


def test_the_largest_errors_of_a_regression_come_first():
    rows = {"row": [1, 2, 3], "target": [0.0, 0.0, 0.0], "prediction": [1.0, 0.0, -2.0]}
    table = worst_rows({name: np.array(values) for name, values in rows.items()})
    assert [row[0] for row in table.rows] == ["3", "1"]
    assert [*table.head] == ["row", "target", "prediction", "MSE"]


def test_the_most_confident_errors_of_a_classifier_come_first():
    rows = {
        "row": np.arange(3),
        "target": np.array(["a", "a", "b"], object),
        "prediction": np.array(["b", "a", "a"], object),
        "probability": np.array([0.6, 0.9, 0.8]),
    }
    assert [row[0] for row in worst_rows(rows).rows] == ["2", "0"]


def test_rows_without_errors_or_scores_have_no_table():
    correct = np.array(["a", "b"], object)
    assert worst_rows({"target": correct, "prediction": correct}) is None
    assert worst_rows({"row": np.arange(2)}) is None
