"""Figure of a comparison: score against cost, with the Pareto front."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from rnn_lab.comparison.compare import COSTS, Comparison, Group
from rnn_lab.comparison.scores import higher_is_better
from rnn_lab.errors import UserError
from rnn_lab.training.plots import COLORS, despine, grid_color, label_color

LABELS = dict(
    zip(
        COSTS,
        ("training (s)", "training (CPU s)", "parameters", "peak memory (bytes)"),
        strict=True,
    )
)


def plot_pareto(comparison: Comparison, cost: str = "seconds") -> Figure:
    """Plot the mean score of each group against a cost, with the standard deviation over seeds.

    Args:
        comparison: The comparison.
        cost: Name of the cost, one of `COSTS`.

    Returns:
        A figure that pyplot does not manage. A line connects the groups of the Pareto front if
        there are several: no other group has a better score at the same cost or less.

    Raises:
        UserError: If no group has the cost.
    """
    points = [(group, x) for group in comparison.groups if (x := group.cost(cost)) is not None]
    if not points:
        raise UserError(f"no run has recorded its {cost}: there is nothing to plot it against")
    figure = Figure(figsize=(5.8, 3.6), dpi=150, layout="constrained")
    axes = figure.subplots()
    for group, x in points:
        axes.errorbar(
            x, group.mean, group.deviation or 0, fmt="o", color=COLORS[0], capsize=3, markersize=5
        )
        axes.annotate(
            group.value,
            (x, group.mean),
            xytext=(6, 5),
            textcoords="offset points",
            fontsize=8,
            color=label_color(),
        )
    front = pareto_front(points, higher_is_better(comparison.metric))
    if len(front) > 1:
        means = [group.mean for group, _ in front]
        color = COLORS[1]
        axes.plot([x for _, x in front], means, color=color, linewidth=1, label="Pareto front")
        axes.legend(frameon=False, fontsize=8)
    axes.set(xlabel=LABELS[cost], ylabel=comparison.metric, xscale="log")
    axes.xaxis.set_major_formatter(LogFormatter())  # plain numbers, also where math is not drawn
    axes.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))
    axes.margins(x=0.15)
    axes.grid(color=grid_color(), linewidth=0.8)
    despine(axes)
    return figure


def without_cost(comparison: Comparison, cost: str) -> str | None:
    """Return a line on the groups that are not in the figure; None if all are in it.

    Args:
        comparison: The comparison.
        cost: Name of the cost.
    """
    names = [group.value for group in comparison.groups if group.cost(cost) is None]
    if not names:
        return None
    return f"not in the figure, since no run recorded the cost {cost}: {'; '.join(names)}"


def pareto_front(points: Sequence[tuple[Group, float]], higher: bool) -> list[tuple[Group, float]]:
    """Return the groups that no other one beats in both score and cost, by increasing cost.

    Args:
        points: Groups with their cost.
        higher: Whether a higher score is better.
    """
    sign = 1 if higher else -1
    front: list[tuple[Group, float]] = []
    for group, cost in sorted(points, key=lambda point: (point[1], -sign * point[0].mean)):
        if not front or sign * group.mean > sign * front[-1][0].mean:
            front.append((group, cost))
    return front
