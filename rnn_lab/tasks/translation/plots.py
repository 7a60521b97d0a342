"""Plots of attention weights."""

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager, get_font
from matplotlib.ticker import MaxNLocator

from rnn_lab.training.plots import label_color

# Fonts with Chinese, Japanese, Korean, Hindi ..., used after matplotlib's own font.
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
    weights: Sequence[Sequence[float]] | np.ndarray,
    source: Sequence[str],
    target: Sequence[str],
    title: str = "attention weights",
) -> Figure:
    """Plot attention weights as a heat map, the source on top and the target on the left.

    Args:
        weights: Attention weights, `(steps, time)`: a row for each target token.
        source: Source tokens, `time` of them.
        target: Target tokens, `steps` of them.
        title: Title of the figure.

    Returns:
        A figure that is not managed by pyplot.

    Raises:
        ValueError: If the shape of the weights does not match the tokens, or is empty.
    """
    values = np.asarray(weights, dtype=float)
    if values.shape != (len(target), len(source)) or not values.size:
        shape = f"({len(target)}, {len(source)})"
        raise ValueError(f"weights must have shape {shape} and not be empty, got {values.shape}")
    fonts = [name for name in FONTS if name in fontManager.get_font_names()]
    top, left = _printable(source, fonts), _printable(target, fonts)
    cell = min(0.34, max(0.17, 9 / max(values.shape)), 22 / max(values.shape))  # inches
    width, height = cell * len(source), cell * len(target)
    margins = [0.09 * max(map(len, labels)) for labels in (left, top)]
    # Rotated labels on top extend to the right.
    needed = width + margins[0] + max(1.2, margins[1]) + 0.3, height + margins[1] + 1.0
    size = max(needed[0], 0.08 * len(title)), needed[1]
    figure = Figure(size, dpi=150, layout="compressed")
    figure.suptitle(title, fontsize=10, color=label_color())
    axes = figure.subplots()
    image = axes.imshow(values, cmap="Blues", vmin=0, vmax=values.max() or 1)
    _label_steps(axes, top, left, fontsize=min(9.0, 42 * cell), family=fonts)
    if min(width, height) > 0.6:
        fraction = 0.12 / width
        bar = figure.colorbar(
            image,
            ax=axes,
            ticks=MaxNLocator(3),
            fraction=fraction,
            pad=fraction,
            shrink=min(1, 2 / height),
            aspect=16,
        )
        bar.set_label("weight", fontsize=8, color=label_color())
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=7, length=2)
    return figure


def _label_steps(axes: Axes, top: list[str], left: list[str], **font: Any) -> None:
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("source", fontsize=9)
    axes.set_ylabel("translation", fontsize=9)
    axes.set_xticks(range(len(top)), top, parse_math=False, **font)  # $ is an ordinary character
    axes.set_yticks(range(len(left)), left, parse_math=False, **font)
    words = any(len(label) > 1 for label in top if not label.startswith("<"))
    for tick in axes.get_xticklabels():
        if words:
            tick.set(rotation=45, ha="left", rotation_mode="anchor")
        elif len(tick.get_text()) > 1:
            tick.set(rotation=90)
    axes.set_xticks(np.arange(len(top) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(left) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color=axes.get_facecolor(), linewidth=0.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)


def _printable(labels: Sequence[str], fonts: Sequence[str]) -> list[str]:
    """Shorten long labels, and replace characters without a glyph, of which matplotlib warns."""
    glyphs: set[int] = set()
    for name in fonts:
        if set(map(ord, "".join(labels))) - glyphs:
            glyphs |= (
                get_font(fontManager.findfont(FontProperties(family=name))).get_charmap().keys()
            )
    short = [label if len(label) <= 18 else label[:17] + "…" for label in labels]
    return ["".join(_printable_char(char, glyphs) for char in label) for label in short]


def _printable_char(char: str, glyphs: set[int]) -> str:
    if char.isspace():
        return "␣"
    if unicodedata.category(char) in ("Cc", "Cf"):
        return ""
    return char if ord(char) in glyphs else "□"
