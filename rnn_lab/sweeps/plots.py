"""Figures of a sweep: importance of the options, and parallel coordinates of the trials."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial

from rnn_lab.io.text_tables import four_digits
from rnn_lab.sweeps.results import numeric
from rnn_lab.sweeps.space import Space
from rnn_lab.training.plots import COLORS, despine, label_color

MAP = "viridis"


def plot_importances(importances: Mapping[str, float]) -> Figure:
    """Plot the importance of each option as a bar.

    Args:
        importances: Shares by option, which sum to 1.

    Returns:
        A figure that pyplot does not manage.
    """
    ordered = sorted(importances.items(), key=lambda item: item[1])
    figure = Figure(figsize=(5.8, 1.0 + 0.35 * len(ordered)), dpi=150, layout="constrained")
    axes = figure.subplots()
    names, shares = zip(*ordered, strict=True)
    bars = axes.barh(names, shares, color=COLORS[0])
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8, color=label_color())
    axes.set(xlabel="importance (PED-ANOVA)", xlim=(0, 1.1))
    despine(axes)
    return figure


def plot_parallel_coordinates(
    space: Space, trials: Sequence[FrozenTrial], metric: str, higher: bool
) -> Figure:
    """Plot each complete trial as a line over its options, colored by its value.

    Args:
        space: Options and their distributions.
        trials: Complete trials.
        metric: Name of the value.
        higher: Whether a higher value is better; the best trials are drawn on top.

    Returns:
        A figure that pyplot does not manage.
    """
    ordered = sorted(trials, key=lambda trial: trial.value or 0.0, reverse=not higher)
    columns = [_column(name, space, ordered) for name in space]
    values = np.array([trial.value or 0.0 for trial in ordered])
    figure = Figure(figsize=(1.6 + 1.5 * len(columns), 3.6), dpi=150, layout="constrained")
    axes = figure.subplots()
    scale = ScalarMappable(Normalize(values.min(), values.max()), colormaps[MAP])
    for row, value in enumerate(values):
        heights = [heights[row] for heights, _ in columns]
        axes.plot(range(len(columns)), heights, color=scale.to_rgba(value), linewidth=1.4)
    for place, (_, ticks) in enumerate(columns):
        _draw_axis(axes, place, ticks)
    names = [name.rpartition(".")[2] for name in space]
    axes.set_xticks(range(len(columns)), names)
    axes.set(yticks=[], ylim=(-0.08, 1.08), xlim=(-0.3, len(columns) - 0.3))
    axes.spines[:].set_visible(False)
    figure.colorbar(scale, ax=axes, label=metric)
    return figure


def _column(
    name: str, space: Space, trials: Sequence[FrozenTrial]
) -> tuple[list[float], list[tuple[float, str]]]:
    """Return the heights of the trials between 0 and 1, and ticks with their labels."""
    distribution = space[name]
    numbers, categories = numeric([trial.params[name] for trial in trials])
    is_log = isinstance(distribution, FloatDistribution) and distribution.log
    raw = np.log(numbers) if is_log else np.array(numbers)
    low, high = float(raw.min()), float(raw.max())
    heights = (raw - low) / (high - low) if high > low else np.full(len(raw), 0.5)
    if categories is None:
        chosen = {int(np.argmin(heights)), int(np.argmax(heights))}
        ticks = [(float(heights[each]), _short(numbers[each])) for each in sorted(chosen)]
    else:
        pairs = dict(zip(numbers, heights.tolist(), strict=True))
        ticks = [(height, categories[number]) for number, height in pairs.items()]
    return heights.tolist(), ticks


def _short(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else four_digits(value)


def _draw_axis(axes: Axes, place: int, ticks: Sequence[tuple[float, str]]) -> None:
    axes.axvline(place, color=label_color(), linewidth=0.8, alpha=0.5)
    for height, text in ticks:
        axes.annotate(
            text,
            (place, height),
            xytext=(4, 2),
            textcoords="offset points",
            fontsize=8,
            color=label_color(),
        )
