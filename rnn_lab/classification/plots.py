"""Plots of confusion matrices."""

from collections.abc import Sequence
from os.path import commonprefix

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnn_lab.training.plots import label_color


def confusion_matrix(matrix: Sequence[Sequence[int]] | np.ndarray, labels: Sequence[str]) -> Figure:
    """Plot a confusion matrix; colors are fractions of the true class.

    Args:
        matrix: Counts, true class by predicted class.
        labels: Names of the classes in the order of the matrix.

    Returns:
        A figure that pyplot does not manage.

    Raises:
        ValueError: If the matrix does not have a row and a column per label.
    """
    counts = np.asarray(matrix)
    if counts.shape != (len(labels), len(labels)):
        expected = (len(labels), len(labels))
        raise ValueError(f"expected a matrix of shape {expected}, got {counts.shape}")
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = min(16.0, 2.6 + 0.42 * max(len(labels), 3) + 0.05 * max(map(len, labels)))
    figure = Figure(figsize=(size + 0.6, size), dpi=150, layout="compressed")
    axes = figure.subplots()
    image = axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    _label_axes(axes, labels)
    _write_counts(axes, counts, fractions)
    bar = figure.colorbar(
        image, ax=axes, fraction=0.046, pad=0.04, ticks=[0, 0.5, 1], format="{x:.0%}"
    )
    bar.set_label("fraction of the true class")
    bar.outline.set_visible(False)
    accuracy = np.trace(counts) / max(counts.sum(), 1)
    axes.set_title(
        f"accuracy {accuracy:.1%} (n = {counts.sum():,})", fontsize=10, color=label_color()
    )
    return figure


MAX_MATRICES, MATRIX_COLUMNS = 36, 6


def confusion_matrices(matrices: np.ndarray, labels: Sequence[str]) -> Figure:
    """Plot a confusion matrix of each label of multi-label data; at most `MAX_MATRICES` labels.

    Colors are fractions of the true rows. If there are more labels, those with most errors are
    plotted, in the order of the labels.

    Args:
        matrices: Counts, absent and present in truth by absent and present in the prediction,
            `(labels, 2, 2)`.
        labels: Names of the labels.

    Returns:
        A figure that pyplot does not manage.

    Raises:
        ValueError: If there is not one matrix per label.
    """
    if matrices.shape != (len(labels), 2, 2):
        raise ValueError(f"expected shape {(len(labels), 2, 2)}, got {matrices.shape}")
    errors = matrices[:, 0, 1] + matrices[:, 1, 0]
    shown = np.sort(np.argsort(-errors, kind="stable")[:MAX_MATRICES])
    rows = -(-len(shown) // MATRIX_COLUMNS)
    columns = -(-len(shown) // rows)
    figure = Figure(
        figsize=(max(1.7 * columns + 0.9, 3.8), 1.8 * rows + 0.8), dpi=150, layout="constrained"
    )
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.ravel()[len(shown) :]:
        axes.set_visible(False)
    for place, (axes, label) in enumerate(zip(grid.ravel(), shown.tolist(), strict=False)):
        _draw_decisions(axes, matrices[label])
        axes.set_title(_shortened(labels[label]), fontsize=9, parse_math=False)
        lowest, first = place + columns >= len(shown), place % columns == 0
        axes.tick_params(labelbottom=lowest, labelleft=first)
    figure.supxlabel("predicted", fontsize=10)
    figure.supylabel("true", fontsize=10)
    right = np.trace(matrices.sum(0)) / max(matrices.sum(), 1)
    of = "" if len(shown) == len(labels) else f", {len(shown)} of {len(labels)} labels"
    title = f"{right:.1%} of decisions are right (n = {matrices[0].sum():,}{of})"
    figure.suptitle(title, fontsize=10, color=label_color())
    return figure


def _draw_decisions(axes: Axes, counts: np.ndarray) -> None:
    """Draw the confusion matrix of one label, `(2, 2)`."""
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    _write_counts(axes, counts, fractions, font=8)
    axes.set_xticks([0, 1], ["no", "yes"], fontsize=8)
    axes.set_yticks([0, 1], ["no", "yes"], fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _shortened(label: str) -> str:
    return label if len(label) <= 18 else label[:17] + "…"


def short_names(labels: Sequence[str]) -> list[str]:
    """Shorten labels for the axes of a plot, so that they remain distinct.

    Of labels that are equal after that, the words that all of them start with are left out; if
    that is not sufficient, all labels are numbered.

    Example:
        >>> short_names(["sports", "news of the world: 1", "news of the world: 2"])
        ['sports', '…1', '…2']
    """
    names = [_shortened(label) for label in labels]
    for name in {name for name in names if names.count(name) > 1}:
        members = [i for i, each in enumerate(names) if each == name]
        prefix = commonprefix([labels[i] for i in members])
        start = prefix.rfind(" ") + 1
        for i in members if start else ():
            names[i] = "…" + _shortened(labels[i][start:])
    if len(set(names)) < len(names):
        names = [_shortened(f"{i}: {label}") for i, label in enumerate(labels, 1)]
    return names


def _label_axes(axes: Axes, labels: Sequence[str]) -> None:
    names = short_names(labels)
    rotated = max(map(len, names)) > (4 if len(names) > 3 else 9)
    axes.set_xticks(range(len(names)), names, rotation=45 if rotated else 0)
    if rotated:
        for tick in axes.get_xticklabels():
            tick.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_xticks(np.arange(len(names) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(names) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color=axes.get_facecolor(), linewidth=1.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)


def _write_counts(
    axes: Axes, counts: np.ndarray, fractions: np.ndarray, font: float | None = None
) -> None:
    if len(counts) > 40:
        return  # cells are too small for numbers
    font = font or (10 if len(counts) <= 4 else 7.5 if len(counts) <= 12 else 6)
    for (row, column), count in np.ndenumerate(counts):
        if count or len(counts) <= 4:
            color = "white" if fractions[row, column] > 0.5 else "#1A1A1A"
            text = f"{count:,}" if count < 10_000 or len(counts) <= 4 else f"{count / 1000:.0f}k"
            axes.text(column, row, text, ha="center", va="center", color=color, fontsize=font)
