"""The page of a claim: the same verdicts in HTML and Markdown, a figure for light and dark."""

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
from claim_runs import claim, folders, hypothesis
from saved_runs import experiment

from rnn_lab.claims.page import html, markdown, summary, svg
from rnn_lab.claims.result import result

VALUES = {"LSTM": [0.6, 0.61, 0.6], "GRU": [0.9, 0.91, 0.9]}


@pytest.fixture
def found(tmp_path):
    experiment(tmp_path, VALUES)
    hypotheses = hypothesis(), hypothesis("parameters", "lower")
    return result(claim(*hypotheses), folders(tmp_path, VALUES))


def test_both_pages_have_the_verdicts_and_how_they_follow(found):
    for page in (html(found), markdown(found)):
        assert "A GRU is better" in page
        assert "not decided" in page  # equal numbers of parameters
        assert "rnn-lab claims gru" in page
        assert "if its p-value is below 0.05" in page
        assert "+0.3000" in page
        assert "\N{MULTIPLICATION SIGN} 1.000" in page
    assert "**Verdict: not decided.**" in markdown(found)
    assert "<svg" in html(found)
    assert "](gru.svg)" in markdown(found)
    assert summary([found])[1] == ["gru", "A GRU is better", "not decided"]


def test_the_figure_is_a_file_of_its_own_with_the_colors_of_its_page(found):
    light, dark = svg(found), svg(found, dark=True)
    assert light != dark
    for drawing in (light, dark):
        ElementTree.fromstring(drawing)
        assert not re.search(r"var\(|currentColor", drawing)
        assert "test/accuracy" in drawing


def test_a_page_without_enough_runs_says_what_is_missing(tmp_path):
    experiment(tmp_path, {"LSTM": VALUES["LSTM"]})
    found = result(claim(), folders(tmp_path, VALUES))
    for page in (html(found), markdown(found)):
        assert "Warning: " in page
        assert "GRU-1 has no config.yaml" in page
        assert "svg" not in page.partition("</style>")[2]


def test_a_ratio_that_overflows_is_infinite(found):
    outcome = found.outcomes[1]
    wide = outcome.difference._replace(high=1e6)
    changed = [found.outcomes[0], outcome._replace(difference=wide)]
    page = markdown(type(found)(found.claim, found.runs, changed, []))
    assert f"to \N{MULTIPLICATION SIGN} {math.inf}" in page
