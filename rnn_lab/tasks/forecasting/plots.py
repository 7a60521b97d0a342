"""Plots of forecasts, of errors by step and of residuals."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from rnn_lab.training.plots import COLORS, despine, grid_color, label_color

CLIPPED = 0.002  # fraction of residuals outside the plot, on each side


class ForecastPanel(NamedTuple):
    """One window with its forecast, in the original units.

    Attributes:
        title: Name of the series and channel.
        past_times: Times of the input window, `(input_length,)`.
        past: Observed values of the input window.
        times: Times of the forecast, `(horizon,)`.
        future: Observed values, NaN if unknown.
        point: Point forecast.
        bands: Lower and upper bound of each prediction interval by its nominal coverage.
    """

    title: str
    past_times: np.ndarray
    past: np.ndarray
    times: np.ndarray
    future: np.ndarray
    point: np.ndarray
    bands: Mapping[float, tuple[np.ndarray, np.ndarray]]


def plot_forecasts(panels: Sequence[ForecastPanel]) -> Figure:
    """Plot forecasts with their intervals over the observed values, one panel per window.

    Args:
        panels: Windows to plot, at least one.

    Returns:
        A figure that is not registered with pyplot.
    """
    columns = 2 if len(panels) > 1 else 1
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(5.2 * columns, 2.6 * rows + 0.4), dpi=150, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, panel in zip(grid, panels, strict=False):
        _plot_panel(axes, panel)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return figure


def _plot_panel(axes: Axes, panel: ForecastPanel) -> None:
    shown = slice(-min(len(panel.past), 2 * len(panel.times)), None)
    # One line for past and future, so that it has no gap at the origin.
    times = np.concatenate([panel.past_times[shown], panel.times])
    observed = np.concatenate([panel.past[shown], panel.future])
    axes.plot(times, observed, color=label_color(), linewidth=1.0, label="observed")
    for coverage, (low, high) in sorted(panel.bands.items(), reverse=True):
        alpha = 0.32 if coverage == min(panel.bands) else 0.16
        axes.fill_between(
            panel.times, low, high, color=COLORS[0], alpha=alpha, linewidth=0,
            label=f"{coverage:.0%} prediction interval",
        )  # fmt: skip
    axes.plot(panel.times, panel.point, color=COLORS[0], linewidth=1.4, label="forecast")
    axes.axvline(panel.times[0], color=label_color(), linewidth=0.6, linestyle=":")
    axes.set_title(panel.title, fontsize=9, color=label_color())
    if np.issubdtype(times.dtype, np.datetime64):
        locator = AutoDateLocator(minticks=3, maxticks=8)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.tick_params(labelsize=8)
    axes.margins(x=0.01)
    despine(axes)


def plot_errors_by_step(errors: Mapping[str, np.ndarray], metric: str = "MSE") -> Figure:
    """Plot the error at each step of the horizon, one line per model.

    Args:
        errors: Errors by name of the model, `(horizon,)` each.
        metric: Name of the error.

    Returns:
        A figure that is not registered with pyplot.
    """
    figure = Figure(figsize=(6.0, 3.4), dpi=150, layout="constrained")
    axes = figure.subplots()
    marker = "o" if max(map(len, errors.values())) < 13 else ""
    for number, (name, values) in enumerate(errors.items()):
        color = COLORS[number % len(COLORS)]
        width = 2.0 if number == 0 else 1.2
        style = "-" if number < len(COLORS) else "--"  # colors repeat
        steps = np.arange(1, len(values) + 1)
        axes.plot(steps, values, style, color=color, linewidth=width, marker=marker, label=name)
    axes.set(xlabel="forecast step", ylabel=f"{metric} (scaled values)")
    axes.set_ylim(bottom=0)
    axes.grid(color=grid_color(), linewidth=0.8)
    despine(axes)
    axes.legend(frameon=False, fontsize=8)
    return figure


def plot_residuals(histograms: Mapping[str, np.ndarray], edges: np.ndarray) -> Figure:
    """Plot the distribution of residuals, one line per step of the horizon.

    Args:
        histograms: Counts per bin by name of the step, `(bins,)` each.
        edges: Edges of the bins, in the scale of the errors, `(bins + 1,)`.

    Returns:
        A figure that is not registered with pyplot.
    """
    figure = Figure(figsize=(6.0, 3.4), dpi=150, layout="constrained")
    axes = figure.subplots()
    limits = _central_range(histograms, edges)
    histograms, edges = _merge_bins(histograms, edges, limits)
    for number, (name, counts) in enumerate(histograms.items()):
        density = counts / max(counts.sum(), 1) / np.diff(edges)
        axes.stairs(density, edges, color=COLORS[number % len(COLORS)], label=name)
    axes.axvline(0, color=label_color(), linewidth=0.6)
    axes.set(xlabel="residual: observed - forecast (in training std)", ylabel="density")
    axes.set_xlim(*limits)
    despine(axes)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _merge_bins(
    histograms: Mapping[str, np.ndarray], edges: np.ndarray, limits: tuple[float, float]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Merge bins until as many are visible as the square root of the number of residuals."""
    residuals = max(int(counts.sum()) for counts in histograms.values())
    visible = int(np.searchsorted(edges, limits[1]) - np.searchsorted(edges, limits[0]))
    bins = len(edges) - 1
    width = next(
        n for n in range(1, bins + 1) if bins % n == 0 and visible / n <= max(residuals, 1) ** 0.5
    )
    merged = {name: counts.reshape(-1, width).sum(1) for name, counts in histograms.items()}
    return merged, edges[::width]


def _central_range(histograms: Mapping[str, np.ndarray], edges: np.ndarray) -> tuple[Any, Any]:
    """Return the range that holds all but a few thousandths of the residuals."""
    cumulative = np.cumsum(np.sum(list(histograms.values()), axis=0))
    quantiles = np.array([CLIPPED, 1 - CLIPPED]) * max(cumulative[-1], 1)
    low, high = np.searchsorted(cumulative, quantiles)
    return edges[low], edges[min(high + 1, len(edges) - 1)]
