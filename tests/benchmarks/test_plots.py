"""Figures of results."""

import matplotlib.image
import pytest
from measured import all_alike

from rnn_lab.benchmarks.comparison import Comparison, Variant
from rnn_lab.benchmarks.plots import plot

COMPARED = Comparison("layers", "2 x 3", {}, [Variant("GRU", "GRU")], ["GRU"], [], "tokens")


@pytest.mark.parametrize("count", [1, 2])
def test_a_figure_has_a_part_for_each_comparison(count, tmp_path):
    path = tmp_path / "bench.png"
    plot([all_alike(COMPARED, 3)] * count, path)
    assert matplotlib.image.imread(path).shape[0] == pytest.approx(145 * count, abs=2)


def test_scaling_is_drawn_as_lines(tmp_path):
    variants = [Variant(f"{layer}, {n}", "") for layer in ("nn.GRU", "GRU") for n in (1, 2)]
    compared = Comparison("scaling", "batch", {"axis": "batch"}, variants, ["GRU, 1"], [], "tokens")
    path = tmp_path / "bench.png"
    plot([all_alike(compared, 3), all_alike(COMPARED, 3)], path)
    assert matplotlib.image.imread(path).shape[0] == pytest.approx(350 + 145, abs=2)
