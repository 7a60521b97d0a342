"""Figures as SVG inside a page, whose colors follow the page: light, dark and on paper."""

import io
import re
import warnings
from collections.abc import Callable
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from rnn_lab.reporting.parts import clean
from rnn_lab.training.plots import COLORS, grid_color, label_color

TEXT, PAGE = "#0a0b0c", "#fdfcfb"  # colors that stand for those of the page
STYLE: Any = {
    **{name: TEXT for name in ("text.color", "axes.edgecolor", "axes.labelcolor")},
    **{name: TEXT for name in ("axes.titlecolor", "xtick.color", "ytick.color")},
    **{name: PAGE for name in ("figure.facecolor", "axes.facecolor")},
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "rnn_lab",
    "text.parse_math": False,
    "font.size": 10,
}
METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
ID = re.compile(r'\bid="([^"]+)"')
REFERENCE = re.compile(r'(href="|url\()#([^")]+)')


def draw(plot: Callable[[], Figure], key: str) -> Markup:
    """Draw a figure as SVG.

    Args:
        plot: Returns the figure; called with the style of reports.
        key: Identifier of the figure, unique in a page.
    """
    file = io.StringIO()
    with rc_context(STYLE), warnings.catch_warnings():
        # matplotlib warns that its own font lacks a character, by which it only measures the
        # text here; the browser draws it, and has fonts for other scripts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        plot().savefig(file, format="svg", transparent=True, metadata=METADATA)
        colors = {
            TEXT: "currentColor",
            PAGE: "var(--page)",
            label_color(): "var(--muted)",
            grid_color(): "var(--grid)",
            **{color.lower(): f"var(--c{number})" for number, color in enumerate(COLORS)},
        }
    return Markup(_embedded(clean(file.getvalue()), colors, key))


def _embedded(svg: str, colors: dict[str, str], key: str) -> str:
    """Adapt a document of matplotlib to a page that may have others of them."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style\b.*?</style>|<!--.*?-->", "", svg, flags=re.S)
    svg = re.sub(r"<defs>\s*</defs>", "", svg)
    used = {name for _, name in REFERENCE.findall(svg)}
    svg = ID.sub(lambda m: f'id="{key}-{m[1]}"' if m[1] in used else "", svg)
    svg = REFERENCE.sub(rf"\1#{key}-\2", svg)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"| version="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'(<svg[^>]*?) width="([\d.]+)pt" height="[\d.]+pt"', r'\1 class="figure"', svg)
    svg = re.sub(r"(font: [\d.]+px )[^;\"]*", r"\1var(--font)", svg)
    for color, value in colors.items():
        svg = svg.replace(color, value)
    return re.sub(r"[ \t]*\n\s*", "\n", svg)
