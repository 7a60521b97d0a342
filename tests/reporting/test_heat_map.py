"""Confusion matrices from saved rows."""

from xml.etree import ElementTree

import numpy as np

from rnn_lab.reporting.heat_map import confusion, heat_map

TARGET = np.array(["a", "a", "b"], object)
ROWS = {"target": TARGET, "prediction": TARGET[::-1], "probability": np.ones(3)}


def test_true_classes_are_counted_by_predicted_class():
    labels, counts = confusion(ROWS, ["b", "a"])
    assert labels == ["b", "a"]
    assert counts.tolist() == [[0, 1], [1, 1]]
    assert confusion(ROWS, ["b"])[0] == ["a", "b"]


def test_rows_without_a_single_class_have_no_matrix():
    assert confusion({"row": TARGET}, []) is None
    assert confusion({"target": TARGET, "prediction": TARGET}, []) is None


def test_names_are_escaped():
    svg = heat_map(["<script>", "b"], np.eye(2, dtype=int))
    assert "<script>" not in svg
    ElementTree.fromstring(svg)
