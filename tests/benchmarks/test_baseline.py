"""Comparison of ratios with a file."""

import json

import pytest
from measured import result

from rnn_lab.benchmarks.baseline import deviations, ratios_of, read_baseline
from rnn_lab.benchmarks.comparison import Comparison, Variant
from rnn_lab.errors import UserError

VARIANTS = [Variant(name, name) for name in ("nn.GRU", "GRU")]
COMPARED = Comparison("layers", "2 x 3", {}, VARIANTS, ["nn.GRU"], [], "tokens")
TITLE = "layers, 2 x 3, over nn.GRU"
RATIOS = {TITLE: {"nn.GRU": 1.0, "GRU, plain": 0.5}}


def test_the_ratios_of_results_are_those_of_the_shortest_times():
    assert ratios_of([result(COMPARED, {"nn.GRU": [2.0, 4.0], "GRU": [4.0, 1.0]})]) == RATIOS


@pytest.mark.parametrize(
    ("now", "word"), [(0.6, None), (0.42, None), (0.7, "slower"), (0.3, "faster")]
)
def test_ratios_within_the_tolerance_are_accepted(now, word):
    lines = list(deviations({TITLE: {"nn.GRU": 1.0, "GRU, plain": now}}, RATIOS, 0.25))
    expected = f"{TITLE}: GRU, plain takes {now:.2f}, 0.50 in the baseline: {word} by more than 25%"
    assert lines == ([expected] if word else [])


def test_what_is_missing_on_either_side_is_a_line_each():
    assert list(deviations({}, RATIOS, 0.25)) == [
        f"{TITLE}: nn.GRU was not measured",
    ]
    assert list(deviations({TITLE: {"nn.GRU": 1.0, "new, plain": 1.0}}, RATIOS, 0.25)) == [
        f"{TITLE}: GRU, plain was not measured",
        f"{TITLE}: new, plain is not in the baseline",
    ]


def test_compiled_and_plain_kernels_have_ratios_of_their_own():
    measured = result(COMPARED, {"nn.GRU": [2.0], "GRU": [1.0], "GRU, plain": [3.0]})
    measured.variants[1].kernels = "compiled 123"
    both = {TITLE: {"nn.GRU": 1.0, "GRU, compiled": 0.5, "GRU, plain": 1.5}}
    assert ratios_of([measured]) == both
    for kind in ("compiled", "plain"):
        found = {TITLE: {"nn.GRU": 1.0, f"GRU, {kind}": both[TITLE][f"GRU, {kind}"]}}
        assert list(deviations(found, both, 0.25)) == []


def test_a_file_of_ratios_is_read_and_others_are_refused(tmp_path):
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps({"time_ratios": RATIOS}))
    assert read_baseline(path) == RATIOS
    for text in ("", "{}", "[]", '{"time_ratios": {"a": {"b": "x"}}}'):
        path.write_text(text)
        with pytest.raises(UserError, match=r"baseline\.json is not a file of ratios"):
            read_baseline(path)
    with pytest.raises(UserError, match=r"absent\.json cannot be read: No such file"):
        read_baseline(tmp_path / "absent.json")
