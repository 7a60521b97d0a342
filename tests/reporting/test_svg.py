"""Figures as SVG: colors of the page, identifiers of their own."""

import re
from functools import partial
from xml.etree import ElementTree

from rnn_lab.reporting.figures import learning_curves
from rnn_lab.reporting.svg import PAGE, TEXT, draw

PANEL = {"val/loss <b>$x": ([1, 2], [0.5, 0.25])}


def test_colors_are_those_of_the_page_and_texts_are_escaped():
    svg = draw(partial(learning_curves, PANEL, "loss"), "a")
    assert "currentColor" in svg
    assert "var(--c0)" in svg
    assert TEXT not in svg
    assert PAGE not in svg
    assert "val/loss &lt;b&gt;$x" in svg
    ElementTree.fromstring(svg)


def test_identifiers_of_two_figures_differ():
    one, other = (draw(partial(learning_curves, PANEL, "loss"), key) for key in ("a", "b"))
    names = [set(re.findall(r'id="([^"]+)"', svg)) for svg in (one, other)]
    assert names[0]
    assert not names[0] & names[1]
    assert {*re.findall(r'#(a-[^")]+)', one)} <= names[0]
