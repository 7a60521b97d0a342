"""Figures of a run from plain numbers: learning curves, confusion matrix, attention map."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager, get_font
from matplotlib.ticker import EngFormatter, MaxNLocator

# Okabe & Ito (2008): told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
GREY = "#595959"

# What can write Chinese, Japanese, Korean, Hindi ...: asked after matplotlib's own font.
FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "Hiragino Sans",
    "Apple SD Gothic Neo",
    "Arial Unicode MS",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
)

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
    tidy(axes)
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


def attention_map(
    weights: Sequence[Sequence[float]] | np.ndarray, source: Sequence[str], target: Sequence[str]
) -> Figure:
    """Draw which parts of the source each part of the target was written from.

    Args:
        weights: Weights, `(steps, time)`: one row for each part of the target.
        source: Words, pieces or characters that were read, `time` of them.
        target: Words, pieces or characters that were written, `steps` of them.

    Returns:
        A figure of its own, no part of pyplot; the source above, the target on the left.

    Raises:
        ValueError: If the weights do not fit the labels, or one side has none.
    """
    shares = np.asarray(weights, dtype=float)
    if shares.shape != (len(target), len(source)) or not shares.size:
        wish = f"({len(target)}, {len(source)})"
        raise ValueError(f"weights must have shape {wish} and a value, got {shares.shape}")
    fonts = [name for name in FONTS if name in fontManager.get_font_names()]
    above, left = _writable(source, fonts), _writable(target, fonts)
    cell = min(0.34, max(0.17, 9 / max(shares.shape)), 22 / max(shares.shape))  # inches
    wide, high = cell * len(source), cell * len(target)
    room = [0.09 * max(map(len, labels)) for labels in (left, above)]
    size = wide + room[0] + max(1.0, room[1]), high + room[1] + 0.4  # labels above lean outward
    figure = Figure(size, dpi=150, layout="compressed")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=shares.max() or 1)
    _name_steps(axes, above, left, fontsize=min(9.0, 45 * cell), family=fonts)
    if min(wide, high) > 0.6:
        share = 0.12 / wide
        bar = figure.colorbar(
            image,
            ax=axes,
            ticks=MaxNLocator(3),
            fraction=share,
            pad=share,
            shrink=min(1, 2 / high),
            aspect=16,
        )
        bar.set_label("weight", fontsize=8, color=GREY)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=7, length=2)
    return figure


def _name_steps(axes: Axes, above: list[str], left: list[str], **font: Any) -> None:
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(above)), above, parse_math=False, **font)  # a $ is a $
    axes.set_yticks(range(len(left)), left, parse_math=False, **font)
    words = any(len(label) > 1 for label in above if not label.startswith("<"))
    for tick in axes.get_xticklabels():
        if words:
            tick.set(rotation=45, ha="left", rotation_mode="anchor")
        elif len(tick.get_text()) > 1:
            tick.set(rotation=90)
    axes.set_xticks(np.arange(len(above) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(left) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=0.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)


def _writable(labels: Sequence[str], fonts: Sequence[str]) -> list[str]:
    """Cut long labels, and draw a box for what no font can write: matplotlib would warn of it."""
    known: set[int] = set()
    for name in fonts:
        if set(map(ord, "".join(labels))) - known:
            known |= (
                get_font(fontManager.findfont(FontProperties(family=name))).get_charmap().keys()
            )
    short = [label if len(label) <= 18 else label[:17] + "…" for label in labels]
    return ["".join(_visible(char, known) for char in label) for label in short]


def _visible(char: str, known: set[int]) -> str:
    if char.isspace():
        return "␣"
    if unicodedata.category(char) in ("Cc", "Cf"):
        return ""
    return char if ord(char) in known else "□"


def tidy(axes: Axes) -> None:
    """Leave out the lines above and on the right."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
