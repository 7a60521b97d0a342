"""Figures that any training can draw: learning curves and gradients by distance."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

# Okabe & Ito (2008): told apart by color-blind readers too.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
GRAY = "#595959"
Column = Sequence[float | None]


def plot_learning_curves(frame: Mapping[str, Column]) -> Figure:
    """Draw how a run learned: losses on the left, validation metrics on the right.

    Args:
        frame: Columns of a `metrics.csv`, among them `step`; None where a row lacks the metric.

    Returns:
        A figure of its own, no part of pyplot.
    """
    series = {name: _points(frame, name) for name in frame if name.startswith(("train/", "val/"))}
    series = {name: points for name, points in series.items() if len(points[0])}
    losses = {name: s for name, s in series.items() if name.split("/")[1].startswith("loss")}
    scores = {n: s for n, s in series.items() if n.startswith("val/") and n not in losses}
    panels = [panel for panel in (losses, scores) if panel] or [{}]
    figure = Figure(figsize=(4.8 * len(panels), 3.4), dpi=150, layout="constrained")
    row = figure.subplots(1, len(panels), sharex=True, squeeze=False)[0]
    for axes, panel in zip(row, panels, strict=True):
        _draw_curves(axes, panel, "validation metric" if panel is scores else "loss")
    return figure


def _points(frame: Mapping[str, Column], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of a metric; a step logged again after a resume counts once, the later."""
    pairs = zip(frame["step"], frame[name], strict=True)
    latest = {step: value for step, value in pairs if step is not None and value is not None}
    return np.array(sorted(latest)), np.array([latest[step] for step in sorted(latest)])


def _draw_curves(axes: Axes, panel: Mapping[str, tuple[np.ndarray, np.ndarray]], what: str) -> None:
    colors = COLORS * 9 if what == "loss" else COLORS[2:] * 9
    for (name, (steps, values)), color in zip(panel.items(), colors, strict=False):
        if len(steps) > 40:  # by step: noise behind, its running mean in front
            axes.plot(steps, values, color=color, alpha=0.22, linewidth=0.8)
            steps, values = _running_mean(steps, values, len(steps) // 20)
        marker = "o" if len(steps) <= 40 else ""
        label = name.removeprefix("val/") if what != "loss" else name
        axes.plot(steps, values, color=color, marker=marker, markersize=3.5, label=label)
    axes.set(xlabel="step", ylabel=what)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    despine(axes)
    axes.grid(color="#E5E5E5", linewidth=0.8)
    if panel:
        axes.legend(frameon=False)


def _running_mean(x: np.ndarray, y: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    kernel = np.ones(width) / width
    return np.convolve(x, kernel, "valid"), np.convolve(y, kernel, "valid")


def despine(axes: Axes) -> None:
    """Leave out the lines above and on the right."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)


LEAST = 1e-16  # below, a gradient is lost in the rounding of double precision


def plot_gradient_decay(curves: Mapping[str, Sequence[float] | np.ndarray]) -> Figure:
    """Draw how the gradient of the last output fades with the distance of an input.

    Args:
        curves: Norms by distance, over that at distance 0, of each layer by its name.

    Returns:
        A figure of its own, no part of pyplot.
    """
    figure = Figure(figsize=(5.6, 3.4), dpi=150, layout="constrained")
    axes = figure.subplots()
    for number, (name, norms) in enumerate(curves.items()):
        style = ("-", "--", ":")[number // len(COLORS) % 3]
        axes.plot(norms, style, color=COLORS[number % len(COLORS)], label=name)
    axes.set(xlabel="steps between input and output", ylabel="share of the gradient left")
    axes.set(yscale="log", xlim=(0, None))
    axes.set_ylim(bottom=LEAST)
    despine(axes)
    axes.grid(color="#E5E5E5", linewidth=0.8)
    axes.legend(frameon=False, loc="lower left", fontsize=8)
    return figure
