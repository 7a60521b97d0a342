"""The attention of a translation as a figure."""

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager, get_font
from matplotlib.ticker import MaxNLocator

from rnn_lab.training.plots import GRAY

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
        bar.set_label("weight", fontsize=8, color=GRAY)
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
