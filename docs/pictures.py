"""Make the pictures of README and site in `docs/images`: `make pictures` trains the runs first.

Figures of runs are copied with fewer colors, so that they stay small. Diagrams are drawn with
transparent background in colors that can be read on white and on black.
"""

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from rnn_lab import SyntheticReviews
from rnn_lab.nn import build_layer
from rnn_lab.nn.diagnostics import gradient_by_distance
from rnn_lab.training.plots import plot_gradient_decay

IMAGES = Path(__file__).parent / "images"
BLUE, ORANGE, GREEN, GRAY = "#3b82f6", "#f97316", "#22a06b", "#8b8f98"
COPIES = {  # picture: folder of a run, figure in it, and the part of its height that is shown
    "demo_curves": ("demo/first", "curves.png", 1.0),
    "demo_confusion": ("demo/first", "confusion_matrix.png", 1.0),
    "forecasts": ("pictures/forecast", "forecasts.png", 0.36),
    "attention": ("pictures/dates", "attention/test-0.png", 1.0),
}
SUFFIXES = ("", "_dark")  # of runs and pictures: on a light background, and on a dark one


def copy_figures(runs: Path) -> None:
    """Copy figures of runs, cropped and with a palette of 64 colors."""
    for (name, (run, path, height)), suffix in itertools.product(COPIES.items(), SUFFIXES):
        image = Image.open(runs / (run + suffix) / path).convert("RGB")
        image = image.crop((0, 0, image.width, round(image.height * height)))
        colors = image.quantize(64, dither=Image.Dither.NONE)
        colors.save(IMAGES / f"{name}{suffix}.png", optimize=True)


def bucketing() -> Figure:
    """Draw the padding of batches in random order and of batches of similar lengths."""
    data = SyntheticReviews(batch_size=32)
    train = data.split("train")
    order = np.random.default_rng(0).permutation(len(train))
    random = [train.lengths[order[i : i + 32]] for i in range(0, 256, 32)]
    loader = iter(data.train_dataloader())
    bucketed = [np.sort(next(loader).lengths.numpy()) for _ in range(8)]
    figure = Figure(figsize=(8, 3), layout="constrained")
    for axes, batches, title in zip(
        figure.subplots(1, 2, sharey=True),
        (random, bucketed),
        ("random order", "similar lengths"),
        strict=True,
    ):
        padding = sum(len(b) * b.max() - b.sum() for b in batches)
        share = padding / sum(len(b) * b.max() for b in batches)
        for i, lengths in enumerate(batches):
            rows = i * 34 + np.arange(32)
            axes.fill_betweenx(rows, 0, lengths.max(), step="mid", color=ORANGE, alpha=0.6)
            axes.fill_betweenx(rows, 0, lengths, step="mid", color=BLUE, linewidth=0)
        axes.set(title=f"{title}: {share:.0%} padding", xlabel="steps", yticks=[])
        axes.invert_yaxis()
    return figure


def lengths() -> Figure:
    """Draw a padded batch with the final state of each direction."""
    figure = Figure(figsize=(7, 2.4), layout="constrained")
    axes = figure.subplots()
    for row, length in enumerate((8, 5, 3, 1)):
        for step in range(8):
            real = step < length
            axes.add_patch(_box(step, row, BLUE if real else "none"))
        axes.annotate(
            "", (length + 0.05, row + 0.4), (length - 0.4, row + 0.4), arrowprops=_arrow()
        )
        axes.text(length + 0.12, row + 0.4, "h", color=GREEN, va="center", fontweight="bold")
    axes.text(9.1, 0.4, "final state: after the last real step", color=GREEN, va="center")
    axes.text(9.1, 2.4, "padding: never read", color=GRAY, va="center")
    axes.set(xlim=(-0.2, 15), ylim=(4, -0.2))
    axes.axis("off")
    return figure


def state() -> Figure:
    """Draw a sequence that is read in chunks, with the state carried over."""
    figure = Figure(figsize=(7, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.text(0, -0.35, "one call", color=GRAY)
    axes.text(0, 1.65, "two calls, the state is carried over", color=GRAY)
    for step in range(10):
        axes.add_patch(_box(step, 0, BLUE))
        gap = 1.6 if step >= 6 else 0
        axes.add_patch(_box(step + gap, 2, BLUE))
    axes.annotate("", (7.5, 2.4), (5.95, 2.4), arrowprops=_arrow())
    axes.text(6.7, 2.15, "state", color=GREEN, ha="center")
    axes.set(xlim=(-0.2, 12), ylim=(3, -0.8))
    axes.axis("off")
    return figure


def teacher_forcing() -> Figure:
    """Draw the inputs of a decoder with the true tokens and with its own predictions."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    truth, predicted = ["<bos>", "ein", "hund", "rennt"], ["ein", "mann", "rennt", "."]
    for axes, title, inputs, forced in zip(
        figure.subplots(1, 2),
        ("teacher forcing: one call", "free running: step by step"),
        (truth, ["<bos>", *predicted[:-1]]),
        (True, False),
        strict=True,
    ):
        for step, (read, written) in enumerate(zip(inputs, predicted, strict=True)):
            axes.add_patch(_box(1.6 * step, 1, BLUE))
            axes.text(1.6 * step + 0.4, 2.5, read, ha="center", color=GRAY)
            axes.text(1.6 * step + 0.4, 0.5, written, ha="center", color=GREEN)
            axes.annotate(
                "", (1.6 * step + 0.4, 1.85), (1.6 * step + 0.4, 2.2), arrowprops=_arrow(GRAY)
            )
            if step and not forced:
                start, end = (1.6 * step - 1.0, 0.62), (1.6 * step + 0.1, 2.25)
                axes.annotate("", end, start, arrowprops=_arrow(ORANGE))
        axes.set(title=title, xlim=(-0.3, 6), ylim=(2.9, 0))
        axes.axis("off")
    return figure


def windows() -> Figure:
    """Draw a series with its splits and three windows of validation."""
    time = np.arange(400)
    series = np.sin(time / 6) + 0.4 * np.sin(time / 31) + 0.1 * np.sin(time * 1.7)
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(time, series, color=GRAY, linewidth=1)
    for start, end, name in ((0, 250, "training"), (250, 310, "validation"), (310, 400, "test")):
        axes.text((start + end) / 2, 2.1, name, ha="center", color=GRAY)
        axes.axvline(end, color=GRAY, linewidth=0.8, linestyle=":")
    for i, origin in enumerate((250, 265, 280)):
        y = -1.9 - 0.45 * i
        axes.plot([origin - 60, origin], [y, y], color=BLUE, linewidth=6, solid_capstyle="butt")
        axes.plot([origin, origin + 30], [y, y], color=ORANGE, linewidth=6, solid_capstyle="butt")
    axes.text(185, -2.4, "input", color=BLUE, ha="right", va="center")
    axes.text(316, -2.4, "horizon", color=ORANGE, va="center")
    axes.set(ylim=(-3.1, 2.4), yticks=[], xlabel="time")
    return figure


def conformal() -> Figure:
    """Draw validation errors, their quantile, and the interval around a forecast."""
    rng = np.random.default_rng(0)
    scores = np.abs(rng.standard_t(6, 4000)) * 0.4
    radius = np.quantile(scores, 0.8)
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    inside, outside, bins = scores[scores <= radius], scores[scores > radius], np.linspace(0, 2, 41)
    left.hist([inside, outside], bins, stacked=True, color=[BLUE, ORANGE])
    left.axvline(radius, color=GREEN, linewidth=2)
    left.text(radius + 0.03, left.get_ylim()[1] * 0.9, "80 % quantile", color=GREEN)
    left.set(xlabel="error / standard deviation of the window", yticks=[], title="validation")
    steps = np.arange(48)
    forecast = np.sin(steps / 5)
    right.fill_between(steps, forecast - radius, forecast + radius, color=BLUE, alpha=0.3)
    right.plot(steps, forecast, color=BLUE)
    right.set(xlabel="steps ahead", yticks=[], title="80 % interval of a forecast")
    return figure


def gradients() -> Figure:
    """Plot the gradient of the last output by earlier inputs, at initialization."""
    curves = {}
    for name in ("RNN", "LSTM", "GRU", "MinGRU", "RGLRU"):
        torch.manual_seed(0)
        layer = build_layer(name, 64, 64)
        curves[name] = gradient_by_distance(layer, input_size=64, time=201).numpy()
    return plot_gradient_decay(curves)


def _box(x: float, y: float, color: str, size: float = 0.8) -> Rectangle:
    if color != "none":
        return _rectangle(x, y, size, size, color)
    return Rectangle((x, y), size, size, facecolor="none", edgecolor=GRAY, linestyle="dotted")


def _rectangle(x: float, y: float, width: float, height: float, color: str) -> Rectangle:
    return Rectangle((x, y), width, height, facecolor=color, edgecolor=color)


def _arrow(color: str = GREEN) -> dict[str, object]:
    return {"arrowstyle": "->", "color": color, "linewidth": 1.6}


def house() -> Figure:
    """Draw the folders of the package, each above those from which it imports."""
    rows = (("commands",), ("tasks",), ("text", "classification"), ("training",), ("core",))
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axes = figure.subplots()
    for y, names in enumerate((*rows, ("nn", "io"))):
        width = 8 / len(names)
        for i, name in enumerate(names):
            axes.add_patch(_rectangle(i * width, y, width - 0.1, 0.8, BLUE if y < 5 else GREEN))
            middle = (i + 0.5) * width - 0.05
            axes.text(middle, y + 0.4, name, ha="center", va="center", color="w")
    axes.annotate("", (8.5, 5.6), (8.5, 0.2), arrowprops=_arrow(GRAY))
    axes.text(8.7, 2.9, "imports", rotation=90, va="center")
    axes.set(xlim=(-0.1, 9.2), ylim=(6, -0.1))
    axes.axis("off")
    return figure


CONTENT = (  # of a checkpoint, and whether inference reads it
    ("weights", True),
    ("classes and arguments", True),
    ("vocabulary, labels, scaling", True),
    ("optimizer, schedule", False),
    ("position and order in the epoch", False),
    ("random states", False),
)


def checkpoints() -> Figure:
    """Draw when the two checkpoints of a run are saved, and what is read from them."""
    figure = Figure(figsize=(8, 3.1), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    scores, best, stop = (0.45, 0.68, 0.86, 0.79), 2, 4.6
    left.plot(range(1, 5), scores, "o-", color=GRAY, linewidth=1.2, markersize=4)
    left.plot([stop, stop], [0.36, 0.93], color=ORANGE, linestyle=":")
    left.text(stop, 0.96, "preempted", color=ORANGE, ha="center")
    left.plot([best + 1], [scores[best]], "o", color=GREEN, markersize=8)
    left.text(best + 1, 0.93, "highest accuracy", color=GREEN, ha="center")
    for x, top, name, color in (
        (best + 1, 0.83, "best.ckpt", GREEN),
        (stop, 0.36, "last.ckpt", BLUE),
    ):
        left.annotate("", (x, 0.12), (x, top), arrowprops=_arrow(color))
        left.text(x, 0.05, name, color=color, ha="center", fontweight="bold")
    left.set(xlim=(0.5, 5.6), ylim=(-0.02, 1.05), xticks=range(1, 6), yticks=[])
    left.set(xlabel="epoch", title="when it is saved")
    for x, name, color in ((3.4, "predict\ntest", GREEN), (4.4, "resume", BLUE)):
        right.text(x, -0.2, name, color=color, ha="center", va="bottom")
    for row, (name, inference) in enumerate(CONTENT, start=1):
        right.text(0, row - 0.5, name, va="center")
        right.plot([4.4], [row - 0.5], "o", color=BLUE, markersize=7)
        if inference:
            right.plot([3.4], [row - 0.5], "o", color=GREEN, markersize=7)
    right.set(xlim=(-0.1, 4.9), ylim=(len(CONTENT), -1.3), title="what is read from it")
    right.axis("off")
    return figure


DIAGRAMS = (
    *(bucketing, lengths, state, teacher_forcing),
    *(windows, conformal, gradients, house, checkpoints),
)


def draw(name: str, diagram: Callable[[], Figure]) -> None:
    """Draw a diagram into a file that is the same in every run."""
    figure = diagram()
    for axes in figure.axes:
        _despine(axes)
    metadata = {"Date": None, "Creator": None}
    figure.savefig(IMAGES / f"{name}.svg", transparent=True, metadata=metadata)


def _despine(axes: Axes) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRAY)


def main() -> None:
    """Draw all diagrams, and copy the figures of the runs in a folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="?", type=Path, help="folder of runs; only diagrams without")
    runs = parser.parse_args().runs
    torch.manual_seed(0)
    colors = {f"{k}.color": GRAY for k in ("text", "xtick", "ytick")}
    fixed = {"svg.hashsalt": "rnn_lab", "svg.fonttype": "path", "axes.titlesize": 10}
    with mpl.rc_context({**colors, **fixed, "axes.labelcolor": GRAY, "axes.titlecolor": GRAY}):
        for diagram in DIAGRAMS:
            draw(diagram.__name__, diagram)
    if runs:
        copy_figures(runs)


if __name__ == "__main__":
    main()
