"""Figures of reports: learning curves of one run and of several, errors by forecast step."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rnn_lab.reporting.parts import clean, shortened
from rnn_lab.training.plots import (
    COLORS,
    LINE_STYLES,
    Curve,
    curve_of,
    despine,
    draw_curves,
    grid_color,
    label_steps,
)

SIZE, LEGEND_ROW = (4.6, 3.1), 0.17  # inches
MAX_POINTS = 300  # of a curve
SHORT_LABEL = 22  # characters, of which two fit side by side


class Line(NamedTuple):
    """A learning curve of one of several runs.

    Attributes:
        group: What the run has in common with others, whose curves have the same color.
        frame: Columns of its metrics.
    """

    group: str
    frame: Mapping[str, Sequence[float | None]]


def learning_curves(panel: Mapping[str, Curve], label: str) -> Figure:
    """Plot the learning curves of a panel.

    Args:
        panel: Steps and values by the name of the metric.
        label: Label of the vertical axis.
    """
    figure, axes = new_figure()
    draw_curves(axes, panel, label)
    add_legend(figure, axes)
    return figure


def overlaid_curves(lines: Sequence[Line], metric: str) -> Figure:
    """Plot a metric of several runs over the step, in a color for each group.

    Args:
        lines: The runs; those without the metric are left out.
        metric: Name of the metric, such as `val/loss`.
    """
    figure, axes = new_figure()
    groups = list(dict.fromkeys(line.group for line in lines))
    labeled: set[str] = set()
    for group, frame in lines:
        if metric not in frame:
            continue
        steps, values = _thinned(*curve_of(frame, metric))
        number = groups.index(group)
        style = LINE_STYLES[number // len(COLORS) % len(LINE_STYLES)]
        marker = "o" if len(steps) <= 40 else ""
        axes.plot(
            steps, values, style, color=COLORS[number % len(COLORS)], marker=marker, markersize=3,
            linewidth=1.2, alpha=0.85,
            label=None if group in labeled else shortened(clean(group), 40),
        )  # fmt: skip
        labeled.add(group)
    axes.set(ylabel=metric)
    label_steps(axes)
    add_legend(figure, axes)
    return figure


def errors_by_step(errors: Mapping[str, Sequence[float | None]]) -> Figure:
    """Plot errors at each step of the horizon, a line for each error.

    Args:
        errors: `(horizon,)` by name, such as MSE; None where an error is not defined.
    """
    figure, axes = new_figure()
    for number, (name, values) in enumerate(errors.items()):
        steps = np.arange(1, len(values) + 1)
        line = np.array([np.nan if value is None else value for value in values], float)
        marker = "o" if len(values) < 13 else ""
        axes.plot(steps, line, color=COLORS[number], marker=marker, markersize=3.5, label=name)
    axes.set(xlabel="forecast step", ylabel="error (scaled values)")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_ylim(bottom=0)
    add_legend(figure, axes)
    return figure


def new_figure() -> tuple[Figure, Axes]:
    """Return a figure of a report and its axes."""
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    despine(axes)
    axes.grid(color=grid_color(), linewidth=0.8)
    return figure, axes


def add_legend(figure: Figure, axes: Axes) -> None:
    """Put the legend above the axes, in two columns if the labels are short."""
    if legend := axes.get_legend():
        legend.remove()
    labels = axes.get_legend_handles_labels()[1]
    if not labels:
        return
    columns = 2 if len(labels) > 1 and max(map(len, labels)) <= SHORT_LABEL else 1
    axes.legend(
        frameon=False, fontsize=8.5, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2,
        ncols=columns, handlelength=1.6,
    )  # fmt: skip
    rows = math.ceil(len(labels) / columns)
    width, height = SIZE
    figure.set_size_inches(width, height + LEGEND_ROW * max(0, rows - 2))


def _thinned(steps: np.ndarray, values: np.ndarray) -> Curve:
    """Keep evenly spaced points of a long curve."""
    if len(steps) <= MAX_POINTS:
        return steps, values
    kept = np.linspace(0, len(steps) - 1, MAX_POINTS).round().astype(int)
    return steps[kept], values[kept]
