"""Figures for all tasks: learning curves, and gradient norm by distance."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

# Okabe & Ito (2008): distinguishable with color vision deficiency.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINE_STYLES = ("-", "--", ":")
SAME_SCALE = 8.0  # largest ratio of the medians of metrics that share a panel
Column = Sequence[float | None]
Curve = tuple[np.ndarray, np.ndarray]  # steps and values


def plot_learning_curves(frame: Mapping[str, Column]) -> Figure:
    """Plot learning curves: a panel of the losses, and one for each scale of validation metrics.

    Args:
        frame: Columns of a `metrics.csv` by name, including `step`; None if a row lacks the metric.

    Returns:
        A figure that pyplot does not manage.
    """
    panels = curve_panels(frame)
    figure = Figure(figsize=(5.8 * len(panels), 3.4), dpi=150, layout="constrained")
    row = figure.subplots(1, len(panels), sharex=True, squeeze=False)[0]
    for axes, (label, panel) in zip(row, panels, strict=True):
        draw_curves(axes, panel, label)
    return figure


def curve_panels(frame: Mapping[str, Column]) -> list[tuple[str, dict[str, Curve]]]:
    """Group learning curves by axes: the losses, and validation metrics of one scale.

    Args:
        frame: Columns of a `metrics.csv`, as in `plot_learning_curves`.

    Returns:
        At least one pair of the label of an axis and its curves by the name of the metric.
    """
    curves = {name: curve_of(frame, name) for name in frame if name.startswith(("train/", "val/"))}
    curves = {name: points for name, points in curves.items() if len(points[0])}
    losses = {name: c for name, c in curves.items() if name.split("/")[1].startswith("loss")}
    metrics = {n: c for n, c in curves.items() if n.startswith("val/") and n not in losses}
    panels = [("loss", losses), *(("validation metric", each) for each in _by_scale(metrics))]
    return [(label, panel) for label, panel in panels if panel] or [("loss", {})]


def _by_scale(metrics: Mapping[str, Curve]) -> list[dict[str, Curve]]:
    """Group metrics that can share an axis: those within 0 and 1, then those of one magnitude."""
    finite = {name: values[np.isfinite(values)] for name, (_, values) in metrics.items()}
    is_fraction = {name: ((v >= 0) & (v <= 1)).all() for name, v in finite.items()}
    fractions = {name: curve for name, curve in metrics.items() if is_fraction[name]}
    others = {name: curve for name, curve in metrics.items() if not is_fraction[name]}
    medians = {name: float(np.median(np.abs(finite[name]))) for name in others}
    groups: list[dict[str, Curve]] = [fractions]
    smallest = 0.0
    for name in sorted(others, key=medians.__getitem__):
        if len(groups) == 1 or medians[name] > SAME_SCALE * smallest:
            groups.append({})
            smallest = medians[name]
        groups[-1][name] = others[name]
    return groups


def curve_of(frame: Mapping[str, Column], name: str) -> Curve:
    """Return steps and values of a metric; of a step logged twice (resume), the later value."""
    pairs = zip(frame["step"], frame[name], strict=True)
    latest = {step: value for step, value in pairs if step is not None and value is not None}
    return np.array(sorted(latest)), np.array([latest[step] for step in sorted(latest)])


def draw_curves(axes: Axes, panel: Mapping[str, Curve], ylabel: str) -> None:
    """Draw the learning curves of a panel, with a legend and labels of both axes."""
    for number, (name, (steps, values)) in enumerate(panel.items()):
        color = COLORS[number % len(COLORS)]
        style = LINE_STYLES[number // len(COLORS) % len(LINE_STYLES)]
        undefined = len(values) - int(np.isfinite(values).sum())
        if len(steps) > 40:  # plot the running mean over the noisy values
            axes.plot(steps, values, color=color, alpha=0.22, linewidth=0.8)
            steps, values = _running_mean(steps, values, len(steps) // 20)
        marker = "o" if len(steps) <= 40 else ""
        label = name.removeprefix("val/") if ylabel != "loss" else name
        label += f" ({undefined:,} not finite)" if undefined else ""
        axes.plot(steps, values, style, color=color, marker=marker, markersize=3.5, label=label)
    axes.set(ylabel=ylabel)
    label_steps(axes)
    despine(axes)
    axes.grid(color=grid_color(), linewidth=0.8)
    if panel:
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)


def label_steps(axes: Axes) -> None:
    """Label the horizontal axis with whole steps, also if all values are of one step."""
    low, high = axes.get_xlim()
    if high - low < 2:
        axes.set_xlim((low + high) / 2 - 1, (low + high) / 2 + 1)
    axes.set(xlabel="step")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _running_mean(x: np.ndarray, y: np.ndarray, width: int) -> Curve:
    kernel = np.ones(width) / width
    return np.convolve(x, kernel, "valid"), np.convolve(y, kernel, "valid")


def label_color() -> str:
    """Return the color of titles: gray on white, or by the style that matplotlib is set to."""
    return _mixed(0.65)


def grid_color() -> str:
    """Return the color of grid lines, by the style that matplotlib is set to."""
    return _mixed(0.1)


def _mixed(share: float) -> str:
    """Mix the color of text with that of the background."""
    text, background = (
        np.array(to_rgb(rcParams[name])) for name in ("text.color", "figure.facecolor")
    )
    red, green, blue = share * text + (1 - share) * background
    return to_hex((red, green, blue))


def despine(axes: Axes) -> None:
    """Remove the top and right spines."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)


MIN_NORM = 1e-16  # smaller ratios are below the rounding error of double precision


def plot_gradient_decay(curves: Mapping[str, Sequence[float] | np.ndarray]) -> Figure:
    """Plot the gradient norm of the last output against the distance of the input.

    Args:
        curves: By layer name, gradient norms by distance, relative to that at distance 0.

    Returns:
        A figure that pyplot does not manage.
    """
    figure = Figure(figsize=(5.6, 3.4), dpi=150, layout="constrained")
    axes = figure.subplots()
    for number, (name, norms) in enumerate(curves.items()):
        style = LINE_STYLES[number // len(COLORS) % len(LINE_STYLES)]
        axes.plot(norms, style, color=COLORS[number % len(COLORS)], label=name)
    axes.set(xlabel="steps between input and output", ylabel="relative gradient norm")
    axes.set(yscale="log", xlim=(0, None))
    axes.set_ylim(bottom=MIN_NORM)
    despine(axes)
    axes.grid(color=grid_color(), linewidth=0.8)
    axes.legend(frameon=False, loc="lower left", fontsize=8)
    return figure
