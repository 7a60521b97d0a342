"""Figures of what was measured."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnn_lab.benchmarks.comparison import Result, spread
from rnn_lab.benchmarks.scaling import parse_name
from rnn_lab.io.atomic import atomic_path

WIDTH, ROW_HEIGHT, MARGIN, LINES_HEIGHT = 8.0, 0.25, 1.2, 3.5  # inches


def plot(results: Sequence[Result], path: Path) -> None:
    """Draw the time ratios of each comparison as bars with quartiles, scaling as lines.

    Args:
        results: What was measured.
        path: File to write, whose suffix determines the format.
    """
    from matplotlib.figure import Figure

    heights = [_height(each) for each in results]
    figure = Figure((WIDTH, sum(heights)), layout="constrained")
    axes = figure.subplots(len(results), 1, squeeze=False, height_ratios=heights)
    for result, (ax,) in zip(results, axes, strict=True):
        draw = _draw_lines if result.comparison.part == "scaling" else _draw_bars
        draw(ax, result)
        ax.set_title(f"{result.comparison.part}: {result.comparison.title}", fontsize="medium")
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


def _draw_lines(ax: Any, result: Result) -> None:
    lines: dict[str, list[tuple[int, float]]] = {}
    for each in result.variants:
        layer, value = parse_name(each.name)
        lines.setdefault(layer, []).append((value, 1e6 / each.per_second))
    for layer, points in lines.items():
        style = "--" if layer.startswith("nn.") else "-"
        ax.plot(*zip(*points, strict=True), style, marker=".", label=layer)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xlabel(result.comparison.options["axis"])
    ax.set_ylabel(f"microseconds per {result.comparison.unit.removesuffix('s')}")
    ticks = sorted({value for points in lines.values() for value, _ in points})
    ax.set_xticks(ticks, [str(value) for value in ticks])
    ax.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))


def _height(result: Result) -> float:
    if result.comparison.part == "scaling":
        return LINES_HEIGHT
    return MARGIN + ROW_HEIGHT * len(result.variants)
