"""Figures of a run from plain numbers: learning curves and the confusion matrix."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

# Okabe & Ito (2008): told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
GREY = "#595959"

Column = Sequence[float | None]


def curves(frame: Mapping[str, Column]) -> Figure:
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
    colours = COLOURS * 9 if what == "loss" else COLOURS[2:] * 9
    for (name, (steps, values)), colour in zip(panel.items(), colours, strict=False):
        if len(steps) > 40:  # by step: noise behind, its running mean in front
            axes.plot(steps, values, color=colour, alpha=0.22, linewidth=0.8)
            steps, values = _running_mean(steps, values, len(steps) // 20)
        marker = "o" if len(steps) <= 40 else ""
        label = name.removeprefix("val/") if what != "loss" else name
        axes.plot(steps, values, color=colour, marker=marker, markersize=3.5, label=label)
    axes.set(xlabel="step", ylabel=what)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    _tidy(axes)
    axes.grid(color="#E5E5E5", linewidth=0.8)
    if panel:
        axes.legend(frameon=False)


def _running_mean(x: np.ndarray, y: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    kernel = np.ones(width) / width
    return np.convolve(x, kernel, "valid"), np.convolve(y, kernel, "valid")


def confusion_matrix(matrix: Sequence[Sequence[int]] | np.ndarray, labels: Sequence[str]) -> Figure:
    """Draw how often each class was taken for which; colour is the share of the true class.

    Args:
        matrix: Counts, true class by predicted class.
        labels: Name of each class, in the matrix's order.

    Returns:
        A figure of its own, no part of pyplot.

    Raises:
        ValueError: If the matrix is not square or does not fit the labels.
    """
    counts = np.asarray(matrix)
    if counts.shape != (len(labels), len(labels)):
        raise ValueError(f"{len(labels)} labels do not fit a matrix of shape {counts.shape}")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = min(16.0, 2.6 + 0.42 * max(len(labels), 3) + 0.05 * max(map(len, labels)))
    figure = Figure(figsize=(size + 0.6, size), dpi=150, layout="compressed")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    _name_classes(axes, labels)
    _write_counts(axes, counts, shares)
    bar = figure.colorbar(
        image, ax=axes, fraction=0.046, pad=0.04, ticks=[0, 0.5, 1], format="{x:.0%}"
    )
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    right = np.trace(counts) / max(counts.sum(), 1)
    axes.set_title(f"{right:.1%} of {counts.sum():,} right", fontsize=10, color=GREY)
    return figure


def _name_classes(axes: Axes, labels: Sequence[str]) -> None:
    names = [label if len(label) <= 18 else label[:17] + "…" for label in labels]
    turn = max(map(len, names)) > (4 if len(names) > 3 else 9)
    axes.set_xticks(range(len(names)), names, rotation=45 if turn else 0)
    if turn:
        for tick in axes.get_xticklabels():
            tick.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_xticks(np.arange(len(names) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(names) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)


def _write_counts(axes: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    if len(counts) > 40:
        return  # no room for numbers
    font = 10 if len(counts) <= 4 else 7.5 if len(counts) <= 12 else 6
    for (row, column), count in np.ndenumerate(counts):
        if count or len(counts) <= 4:
            colour = "white" if shares[row, column] > 0.5 else "#1A1A1A"
            text = f"{count:,}" if count < 10_000 or len(counts) <= 4 else f"{count / 1000:.0f}k"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=font)


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
