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
