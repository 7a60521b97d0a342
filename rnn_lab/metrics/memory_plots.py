"""Figures of how far back recurrent layers can learn from."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from rnn_lab.metrics.plots import COLOURS, tidy

LEAST = 1e-16  # below, a gradient is lost in the rounding of double precision


def gradients(curves: Mapping[str, Sequence[float] | np.ndarray]) -> Figure:
    """Draw how the gradient of the last output fades with the distance of an input.

    Args:
        curves: Norms by distance, over that at distance 0, of each layer by its name.

    Returns:
        A figure of its own, no part of pyplot.
    """
    figure = Figure(figsize=(5.6, 3.4), dpi=150, layout="constrained")
    axes = figure.subplots()
    for number, (name, norms) in enumerate(curves.items()):
        style = ("-", "--", ":")[number // len(COLOURS) % 3]
        axes.plot(norms, style, color=COLOURS[number % len(COLOURS)], label=name)
    axes.set(xlabel="steps between input and output", ylabel="share of the gradient left")
    axes.set(yscale="log", xlim=(0, None))
    axes.set_ylim(bottom=LEAST)
    tidy(axes)
    axes.grid(color="#E5E5E5", linewidth=0.8)
    axes.legend(frameon=False, loc="lower left", fontsize=8)
    return figure
