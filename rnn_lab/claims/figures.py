"""Figures of claims: scores by seed, score against cost, curves, scores by length, gradients."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnn_lab.claims.claim import Claim
from rnn_lab.claims.gradients import gradient_norms
from rnn_lab.claims.measure import Runs, compared, counts_by_length, value_of
from rnn_lab.comparison.plots import plot_pareto
from rnn_lab.comparison.rows import read_rows
from rnn_lab.reporting.figures import Line, overlaid_curves
from rnn_lab.reporting.saved_files import read_frame
from rnn_lab.training.plots import COLORS, despine, grid_color, plot_gradient_decay

SIZE = 5.6, 3.4  # inches
PARTS = 4  # of sentences, by length of the source
DISTANCE = 100  # steps, the largest distance of gradients if no hypothesis names one


def figure(claim: Claim, runs: Runs) -> Figure:
    """Plot the figure of a claim.

    Args:
        claim: The claim.
        runs: Its runs by variant.

    Returns:
        A figure that pyplot does not manage.
    """
    return PLOTS[claim.figure.kind](claim, runs)


def caption(claim: Claim) -> str:
    """Say what the figure of a claim shows."""
    metric = claim.figure.metric
    return {
        "scores": f"{metric} of each run",
        "cost": f"{metric} against {claim.figure.cost.replace('_', ' ')}, with standard deviations "
        "over seeds",
        "curves": f"{metric} by optimization step, a line for each run",
        "lengths": f"{metric} by length of the source, a line for each run",
        "gradients": "gradient of the last output by its distance to the input in the trained "
        "layer, geometric mean over runs",
    }[claim.figure.kind]


def _scores(claim: Claim, runs: Runs) -> Figure:
    plot, axes = _axes()
    for number, (name, each) in enumerate(runs.items()):
        values = [value_of(run, claim.figure.metric) for run in each]
        color = COLORS[number % len(COLORS)]
        axes.plot([number] * len(values), values, "o", color=color, alpha=0.8, label=name)
        axes.plot([number - 0.2, number + 0.2], [np.mean(values)] * 2, color=color, linewidth=1.5)
    axes.set_xticks(range(len(runs)), [*runs])
    axes.set(xlim=(-0.6, len(runs) - 0.4), ylabel=claim.figure.metric)
    return _scaled(plot, axes, claim)


def _cost(claim: Claim, runs: Runs) -> Figure:
    return plot_pareto(compared(runs, claim.figure.metric), claim.figure.cost)


def _curves(claim: Claim, runs: Runs) -> Figure:
    lines = [Line(name, read_frame(run.folder)) for name, each in runs.items() for run in each]
    plot = overlaid_curves(lines, claim.figure.metric)
    return _scaled(plot, plot.axes[0], claim)


def _lengths(claim: Claim, runs: Runs) -> Figure:
    plot, axes = _axes()
    first = next(iter(runs.values()))[0]
    lengths = read_rows(first)["source_length"]
    bounds = np.unique(np.quantile(lengths, np.linspace(0, 1, PARTS + 1)).round().astype(int))
    bounds[-1] += 1  # the longest source belongs to the last part
    parts = [*zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)]
    for number, (name, each) in enumerate(runs.items()):
        for run in each:
            found = [counts_by_length(run, claim.figure.metric, *part) for part in parts]
            values = [float(part.score(part.rows.sum(0))) for part in found]
            label = name if run is each[0] else None
            axes.plot(values, marker="o", markersize=4, color=COLORS[number], label=label)
    axes.set_xticks(range(len(parts)), [f"{low} to {high - 1}" for low, high in parts])
    axes.set(xlabel="tokens of the source", ylabel=claim.figure.metric)
    axes.legend(frameon=False, fontsize=8)
    return _scaled(plot, axes, claim)


def _gradients(claim: Claim, runs: Runs) -> Figure:
    named = (each.distance for each in claim.hypotheses if each.distance is not None)
    distance = max(named, default=DISTANCE)
    return plot_gradient_decay(
        {name: _geometric_mean(each, distance) for name, each in runs.items()}
    )


def _geometric_mean(runs: Sequence, distance: int) -> np.ndarray:
    norms = np.array([gradient_norms(run, distance) for run in runs])
    return np.exp(np.log(np.maximum(norms, np.finfo(float).tiny)).mean(0))


def _axes() -> tuple[Figure, Axes]:
    plot = Figure(figsize=SIZE, dpi=150, layout="constrained")
    axes = plot.subplots()
    despine(axes)
    axes.grid(color=grid_color(), linewidth=0.8)
    return plot, axes


def _scaled(plot: Figure, axes: Axes, claim: Claim) -> Figure:
    if claim.figure.log:
        axes.set_yscale("log")
    return plot


PLOTS: dict[str, Callable[[Claim, Runs], Figure]] = {
    "scores": _scores,
    "cost": _cost,
    "curves": _curves,
    "lengths": _lengths,
    "gradients": _gradients,
}
