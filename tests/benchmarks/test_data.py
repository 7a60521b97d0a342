"""Loading of batches."""

import pytest

from rnn_lab.benchmarks import data
from rnn_lab.benchmarks.comparison import check_equal
from rnn_lab.benchmarks.settings import Settings


@pytest.mark.parametrize("number", [0, 1], ids=["windows", "texts"])
def test_all_ways_load_the_same_rows(number):
    comparison = list(data.comparisons(Settings(quick=True)))[number]
    built = data.build(comparison.options, [each.name for each in comparison.variants])
    check_equal(comparison, {name: each.values() for name, each in built.items()})
    counts = {each.run(1).items for each in built.values()}
    assert len(counts) == 1
    assert counts.pop() > 50


def test_other_rows_are_noticed():
    one, two = (data.Loading(lambda number, n=n: [n, 2], float) for n in (1, 3))
    assert one.values() == [3.0]
    assert two.values() == [5.0]
