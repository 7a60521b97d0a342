"""Time per token against sizes."""

import pytest

from rnn_lab.benchmarks import scaling, trainer
from rnn_lab.benchmarks.comparison import check_equal
from rnn_lab.benchmarks.settings import Settings

AXES = {"length": (2, 5), "batch": (1, 3), "units": (4, 8)}
SETTINGS = Settings(quick=True, layers=("GRU", "MinGRU"))


@pytest.mark.parametrize("axis", AXES)
def test_a_comparison_has_all_sizes_of_all_layers(axis, monkeypatch):
    monkeypatch.setattr(scaling, "BASE", {"batch": 2, "length": 3, "units": 4})
    comparison, *_ = scaling.comparisons(SETTINGS, {axis: AXES[axis]})
    small, large = AXES[axis]
    names = [each.name for each in comparison.variants]
    assert names == [
        f"nn.GRU, {small}", f"GRU, {small}", f"MinGRU, {small}",
        f"nn.GRU, {large}", f"GRU, {large}", f"MinGRU, {large}",
    ]  # fmt: skip
    assert comparison.references == [f"nn.GRU, {small}"]
    built = scaling.build(comparison.options, names)
    check_equal(comparison, {name: each.values() for name, each in built.items()})
    items = [built[f"GRU, {size}"].run(0).items for size in (small, large)]
    sizes = {"length": [2 * 2, 2 * 5], "batch": [3, 9], "units": [6, 6]}
    assert items == sizes[axis]


def test_lengths_reach_from_50_to_4096_by_default():
    lengths = next(scaling.comparisons(Settings()))
    assert lengths.title == "length, 32 batch x 128 units, 1 thread"
    values = {scaling.parse_name(each.name)[1] for each in lengths.variants}
    assert min(values) == 50
    assert max(values) == 4096


def test_plain_kernels_take_part_if_wanted():
    settings = Settings(quick=True, layers=("GRU",), plain_too=True)
    comparison, *_ = scaling.comparisons(settings, {"batch": (1,)})
    assert comparison.equal == [["nn.GRU, 1", "GRU, 1", "GRU plain, 1"]]


def test_processes_take_part_where_there_are_cores_for_them(monkeypatch):
    monkeypatch.setattr(scaling.os, "cpu_count", lambda: 4)
    settings = Settings(quick=True, threads=(1, 2, 4))
    found = [each for each in scaling.comparisons(settings, {}) if "processes" in each.title]
    assert [each.threads for each in found] == [1, 2]
    assert found[0].unit == "texts"
    names = [each.name for each in found[0].variants]
    assert names == ["LSTM, 1", "LSTM, 2", "GRU, 1", "GRU, 2"]


@pytest.mark.slow
def test_two_processes_train_on_twice_as_many_texts(monkeypatch):
    monkeypatch.setattr(scaling.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(trainer, "QUICK_STEPS", 3)
    monkeypatch.setattr(trainer, "SIZES", {"embedding_dim": 4, "hidden_dim": 8})
    (comparison,) = scaling.comparisons(Settings(quick=True, layers=("GRU",)), {})
    built = scaling.build(comparison.options, ["GRU, 1", "GRU, 2"])
    (seconds, items), (seconds_of_two, items_of_two) = (each.run(0) for each in built.values())
    assert min(seconds, seconds_of_two) > 0
    assert (items, items_of_two) == (3 * trainer.BATCH, 2 * 3 * trainer.BATCH)
