"""Figures of reports: axes with labels, a color for each group, long curves thinned."""

import numpy as np

from rnn_lab.reporting.figures import (
    MAX_POINTS,
    Line,
    errors_by_step,
    learning_curves,
    overlaid_curves,
)


def texts(figure):
    (axes,) = figure.axes
    legend = axes.get_legend()
    return axes.get_xlabel(), axes.get_ylabel(), [t.get_text() for t in legend.get_texts()]


def test_learning_curves_have_labels():
    figure = learning_curves({"val/loss": (np.array([1]), np.array([2.0]))}, "loss")
    assert texts(figure) == ("step", "loss", ["val/loss"])


def test_runs_of_a_group_have_one_color():
    frame = {"step": [1.0, 2.0], "val/loss": [0.5, None]}
    lines = [Line("GRU", frame), Line("GRU", frame), Line("LSTM", frame), Line("LRU", {})]
    figure = overlaid_curves(lines, "val/loss")
    assert texts(figure) == ("step", "val/loss", ["GRU", "LSTM"])
    first, second, third = (line.get_color() for line in figure.axes[0].lines)
    assert first == second != third


def test_long_names_of_groups_leave_room_for_the_curves():
    names = [f"TextClassifier, 128, {layer}, true, 0.3" for layer in ("GRU", "LSTM", "LRU", "SRU")]
    frame = {"step": [1.0, 2.0], "val/loss": [0.5, 0.4]}
    figure = overlaid_curves([Line(name, frame) for name in names], "val/loss")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert axes.get_position().width > 0.7
    assert axes.get_position().height > 0.5


def test_a_long_curve_keeps_its_ends():
    steps = [float(step) for step in range(5 * MAX_POINTS)]
    figure = overlaid_curves([Line("a", {"step": steps, "val/loss": steps})], "val/loss")
    (line,) = figure.axes[0].lines
    assert len(line.get_xdata()) == MAX_POINTS
    assert line.get_xdata()[-1] == steps[-1]


def test_undefined_errors_leave_a_gap():
    figure = errors_by_step({"MSE": [1.0, None]})
    assert texts(figure) == ("forecast step", "error (scaled values)", ["MSE"])
    assert np.isnan(figure.axes[0].lines[0].get_ydata()[1])
