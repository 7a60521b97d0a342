"""Ways to train: they compute the same loss, and process the items of the timed steps."""

import pytest
import torch

from rnn_lab.benchmarks import forecasting, language, text, translation
from rnn_lab.benchmarks.comparison import check_equal
from rnn_lab.benchmarks.settings import Settings
from rnn_lab.benchmarks.training import in_data_root, ways
from rnn_lab.benchmarks.translation import POSITIONS

TINY = {"hidden_dim": 8, "steps": 2, "num_layers": 1}
PARTS = {
    text: {**TINY, "embedding_dim": 8, "batch_size": 16},
    forecasting: TINY,
    language: {**TINY, "num_layers": 2, "embedding_dim": 8, "hidden_dim": 8},
    translation: {
        **{**TINY, "embedding_dim": 8, "batch_size": 3, "length": 5},
        **{"src_vocab_size": 20, "trg_vocab_size": 30},
    },
}
ITEMS = {
    text: 2 * 16,
    forecasting: 2 * forecasting.BATCH,
    language: 2 * language.BATCH * language.STEPS_BACK,
    translation: 2 * 3 * 5,
}
names = pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__.rpartition(".")[2])


def built(part, names=()):
    """A comparison, and its implementations with tiny sizes."""
    comparison = next(part.comparisons(Settings(quick=True)))
    names = names or [each.implementation for each in comparison.variants]
    return comparison, part.build(comparison.options | PARTS[part], names)


@names
def test_all_ways_compute_the_same_losses(part):
    comparison, implementations = built(part)
    values = {each.name: implementations[each.implementation] for each in comparison.variants}
    check_equal(comparison, {name: each.values() for name, each in values.items()})
    different = ("between", "after") if part is translation else ("LSTM", "GRU")
    losses = [values[name].values()[0] for name in different]
    assert abs(losses[0] - losses[1]) > comparison.tolerance * losses[0]


@names
@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no")
def test_all_ways_train_on_the_items_of_the_timed_steps(part):
    names = ["reference GRU", "loop GRU", "GRU"]
    _, implementations = built(
        part, ["textbook", "loop", *POSITIONS] if part is translation else names
    )
    for each in implementations.values():
        before = [weight.clone() for weight in each.workload.model.parameters()]
        seconds, items = each.run(1)
        assert seconds > 0
        assert items == ITEMS[part]
        changed = zip(before, each.workload.model.parameters(), strict=True)
        assert not any(torch.equal(*pair) for pair in changed)


def test_the_ways_of_a_layer_differ_in_settings_and_kernels():
    variants = {each.name: each for each in ways("GRU", "textbook GRU", Settings(plain_too=True))}
    assert list(variants) == [
        "textbook GRU, as shipped", "textbook GRU", "GRU, bare loop", "GRU", "GRU, plain",
    ]  # fmt: skip
    shipped, ours = variants["textbook GRU, as shipped"], variants["textbook GRU"]
    assert shipped.implementation == ours.implementation == "reference GRU"
    assert shipped.environment.keys() == {"RNN_LAB_KEEP_DENORMALS", "RNN_LAB_RETURN_MEMORY"}
    assert variants["GRU, plain"].environment == {"RNN_LAB_NATIVE": "0"}


def test_datasets_are_used_where_they_are(monkeypatch, tmp_path):
    monkeypatch.setenv("RNN_LAB_DATA", str(tmp_path))
    for name in ("sst2", "ett"):
        assert not in_data_root(name)
        (tmp_path / name).mkdir()
        assert in_data_root(name)
    (tmp_path / "multi30k").mkdir()
    titles = [each.title for part in PARTS for each in part.comparisons(Settings())]
    assert [title.split(",")[0] for title in titles] == [
        "SyntheticReviews", "SST2", "SyntheticSeries", "ETTh1", "SyntheticText",
        "random tokens 15 to 15", "random tokens 40 to 40", "Multi30k",
    ]  # fmt: skip
