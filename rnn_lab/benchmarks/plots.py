"""Figures of what was measured."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnn_lab.benchmarks.comparison import Result, spread
from rnn_lab.io.atomic import atomic_path

WIDTH, ROW_HEIGHT, MARGIN = 8.0, 0.25, 1.2  # inches


def plot(results: Sequence[Result], path: Path) -> None:
    """Draw the time ratios of each comparison as bars, with their quartiles.

    Args:
        results: What was measured.
        path: File to write, whose suffix determines the format.
    """
    from matplotlib.figure import Figure

    heights = [MARGIN + ROW_HEIGHT * len(each.variants) for each in results]
    figure = Figure((WIDTH, sum(heights)), layout="constrained")
    axes = figure.subplots(len(results), 1, squeeze=False, height_ratios=heights)
    for result, (ax,) in zip(results, axes, strict=True):
        _draw_bars(ax, result)
    with atomic_path(path) as part:
        figure.savefig(part, format=path.suffix.removeprefix(".") or "png")


def _draw_bars(ax: Any, result: Result) -> None:
    reference = result.comparison.references[0]
    spreads = [spread(result.ratios(each, reference)) for each in result.variants]
    medians = [each.median for each in spreads]
    errors = [
        [each.median - each.low for each in spreads],
        [each.high - each.median for each in spreads],
    ]
    names = [each.name for each in result.variants]
    ax.barh(names, medians, xerr=errors, height=0.7, color="tab:blue", ecolor="black")
    ax.axvline(1, color="black", linewidth=0.8)
    ax.invert_yaxis()
    ax.set_xlabel(f"time, {reference} = 1")
    ax.set_title(f"{result.comparison.part}: {result.comparison.title}", fontsize="medium")
