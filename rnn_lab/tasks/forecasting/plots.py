"""Figures of forecasts: over what came, their errors by step, and what is left over."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from rnn_lab.training.plots import COLORS, GRAY, despine


class ForecastPanel(NamedTuple):
    """One window with its forecast, in the user's units.

    Attributes:
        title: What is forecast.
        past_times: Times of what was seen, `(input_length,)`.
        past: What was seen.
        times: Times of what was forecast, `(horizon,)`.
        future: What came, NaN where that is not known.
        point: What was forecast.
        bands: Lower and upper bound of each interval by its nominal coverage.
    """

    title: str
    past_times: np.ndarray
    past: np.ndarray
    times: np.ndarray
    future: np.ndarray
    point: np.ndarray
    bands: Mapping[float, tuple[np.ndarray, np.ndarray]]


def outlooks(windows: Sequence[ForecastPanel]) -> Figure:
    """Draw forecasts over what came, with their intervals, a panel each.

    Args:
        windows: What to draw, at least one.

    Returns:
        A figure of its own, no part of pyplot.
    """
    columns = 2 if len(windows) > 1 else 1
    rows = -(-len(windows) // columns)
    figure = Figure(figsize=(5.2 * columns, 2.6 * rows + 0.4), dpi=150, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, window in zip(grid, windows, strict=False):
        _draw_outlook(axes, window)
    for axes in grid[len(windows) :]:
        axes.set_visible(False)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return figure


def _draw_outlook(axes: Axes, window: ForecastPanel) -> None:
    shown = slice(-min(len(window.past), 2 * len(window.times)), None)
    # The line of what was observed goes on without a gap.
    times = np.concatenate([window.past_times[shown], window.times])
    seen = np.concatenate([window.past[shown], window.future])
    axes.plot(times, seen, color=GRAY, linewidth=1.0, label="observed")
    for coverage, (low, high) in sorted(window.bands.items(), reverse=True):
        shade = 0.32 if coverage == min(window.bands) else 0.16
        axes.fill_between(
            window.times, low, high, color=COLORS[0], alpha=shade, linewidth=0,
            label=f"{coverage:.0%} interval",
        )  # fmt: skip
    axes.plot(window.times, window.point, color=COLORS[0], linewidth=1.4, label="forecast")
    axes.axvline(window.times[0], color=GRAY, linewidth=0.6, linestyle=":")
    axes.set_title(window.title, fontsize=9, color=GRAY)
    if np.issubdtype(times.dtype, np.datetime64):
        locator = AutoDateLocator(minticks=3, maxticks=8)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.tick_params(labelsize=8)
    axes.margins(x=0.01)
    despine(axes)


def errors_by_step(errors: Mapping[str, np.ndarray], what: str = "MSE") -> Figure:
    """Draw how errors grow with the steps ahead, a line for each model.

    Args:
        errors: Error at each step by the name of the model, `(horizon,)` each.
        what: Name of the error.

    Returns:
        A figure of its own, no part of pyplot.
    """
    figure = Figure(figsize=(6.0, 3.4), dpi=150, layout="constrained")
    axes = figure.subplots()
    marker = "o" if max(map(len, errors.values())) < 13 else ""
    for number, (name, values) in enumerate(errors.items()):
        color = COLORS[number % len(COLORS)]
        width = 2.0 if number == 0 else 1.2
        style = "-" if number < len(COLORS) else "--"  # a color may come again
        steps = np.arange(1, len(values) + 1)
        axes.plot(steps, values, style, color=color, linewidth=width, marker=marker, label=name)
    axes.set(xlabel="steps ahead", ylabel=what)
    axes.set_ylim(bottom=0)
    axes.grid(color="#E5E5E5", linewidth=0.8)
    despine(axes)
    axes.legend(frameon=False, fontsize=8)
    return figure


def residuals(histograms: Mapping[str, np.ndarray], edges: np.ndarray) -> Figure:
    """Draw how what came lies around the forecast, a line for each step ahead.

    Args:
        histograms: Counts between the edges by the name of the step, `(bins,)` each.
        edges: In the scale of the errors, `(bins + 1,)`.

    Returns:
        A figure of its own, no part of pyplot.
    """
    figure = Figure(figsize=(6.0, 3.4), dpi=150, layout="constrained")
    axes = figure.subplots()
    for number, (name, counts) in enumerate(histograms.items()):
        density = counts / max(counts.sum(), 1) / np.diff(edges)
        axes.stairs(density, edges, color=COLORS[number % len(COLORS)], label=name)
    axes.axvline(0, color=GRAY, linewidth=0.6)
    axes.set(xlabel="what came less the forecast (training deviations)", ylabel="density")
    axes.set_xlim(*_most_of_it(histograms, edges))
    despine(axes)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _most_of_it(histograms: Mapping[str, np.ndarray], edges: np.ndarray) -> tuple[Any, Any]:
    """Where all but a few thousandths lie."""
    whole = np.cumsum(np.sum(list(histograms.values()), axis=0))
    inside = np.searchsorted(whole, np.array([0.002, 0.998]) * max(whole[-1], 1))
    return edges[inside[0]], edges[min(inside[1] + 1, len(edges) - 1)]
