"""Groups of runs are compared with intervals, and runs that cannot be compared are refused."""

import numpy as np
import pytest
from saved_runs import accuracy_run, classified, experiment, write_run

from rnn_lab.comparison.compare import compare
from rnn_lab.comparison.saved_run import read_run
from rnn_lab.errors import UserError
from rnn_lab.io.run_files import ITEMS, runs_below

THREE = {"GRU": [0.80, 0.82, 0.84], "LSTM": [0.70, 0.71, 0.72], "RNN": [0.69, 0.72, 0.71]}


def runs_of(root):
    return [read_run(folder) for folder in sorted(runs_below(root))]


@pytest.fixture
def runs(tmp_path):
    return runs_of(experiment(tmp_path, THREE))


def test_a_group_has_a_run_for_each_seed(runs):
    comparison = compare(runs, ["model.layer"])
    assert [group.value for group in comparison.groups] == ["GRU", "LSTM", "RNN"]
    first = comparison.groups[0]
    assert (first.scores, first.mean) == ([0.80, 0.82, 0.84], pytest.approx(0.82))
    assert first.deviation == pytest.approx(0.02)
    assert (first.cost("seconds"), first.cost("unknown"), first.targets_per_second) == (
        10,
        None,
        100,
    )
    assert (comparison.metric, comparison.warnings, first.difference) == ("test/accuracy", [], None)


def test_differences_vary_with_seeds_and_rows(runs):
    comparison = compare(runs, ["model.layer"], against="LSTM")
    gru, lstm, rnn = comparison.groups
    assert lstm.difference is None
    assert gru.difference.value == pytest.approx(0.11)
    assert gru.difference.of_rows > gru.difference.of_seeds > 0
    assert gru.difference.low < 0.11 < gru.difference.high
    assert (rnn.difference.low < 0 < rnn.difference.high, rnn.p_value > 0.5) == (True, True)
    assert gru.p_value == pytest.approx(2 * gru.difference.p_value)  # Holm's correction of two
    assert (comparison.units.name, comparison.units.count) == ("rows", 200)
    again = compare(runs, ["model.layer"], against="LSTM")
    assert again.groups[0].difference == gru.difference


def test_a_higher_confidence_makes_wider_intervals(runs):
    narrow, wide = (
        compare(runs, ["model.layer"], against="LSTM", confidence=c).groups[0].difference
        for c in (0.5, 0.99)
    )
    assert wide.low < narrow.low < narrow.high < wide.high


def test_single_runs_are_compared_by_their_rows(tmp_path):
    root = experiment(tmp_path, {"GRU": [0.8], "LSTM": [0.7]})
    gru = compare(runs_of(root), against="LSTM").groups[0]
    assert gru.difference.of_seeds == 0
    # Both tables are right on rows drawn independently of one another.
    assert gru.difference.of_rows == pytest.approx(np.sqrt((0.16 + 0.21) / 200), rel=0.2)
    (tmp_path / "GRU-1" / ITEMS).unlink()
    comparison = compare(runs_of(root), against="LSTM")
    assert [group.difference for group in comparison.groups] == [None, None]
    assert "GRU-1 has no readable predictions.test.parquet" in comparison.warnings[0]


def test_without_rows_seeds_alone_are_compared(runs):
    for run in runs:
        run.items.unlink()
    comparison = compare(runs, ["model.layer"], against="LSTM")
    assert comparison.groups[0].difference.of_rows == 0
    assert comparison.units is None


def test_all_options_that_differ_make_the_groups(tmp_path):
    for seed in (1, 2):
        for dim in (8, 16):
            for layer in ("GRU", "LSTM"):
                options = {"layer": layer, "hidden_dim": dim}
                accuracy_run(tmp_path / f"{layer}{dim}{seed}", 0.5, seed=seed, model=options)
    comparison = compare(runs_of(tmp_path))
    assert comparison.by == ["model.layer", "model.hidden_dim"]
    assert {group.value for group in comparison.groups} == {
        "GRU, 16", "GRU, 8", "LSTM, 16", "LSTM, 8"
    }  # fmt: skip
    comparison = compare(runs_of(tmp_path), ["model.layer"])
    assert ["model.hidden_dim (16, 8)" in warning for warning in comparison.warnings] == [True] * 2


def test_what_else_differs_between_groups_is_named(tmp_path):
    accuracy_run(tmp_path / "a", 0.5, model={"layer": "GRU", "hidden_dim": 8})
    accuracy_run(tmp_path / "b", 0.6, model={"layer": "LSTM", "hidden_dim": 16})
    comparison = compare(runs_of(tmp_path), ["model.layer"])
    assert comparison.others == {"model.hidden_dim": ["8", "16"]}


def test_options_that_only_one_model_has_are_no_difference(tmp_path):
    accuracy_run(tmp_path / "a", 0.5, model={"layer": "GRU", "dim": 8, "heads": None})
    accuracy_run(tmp_path / "b", 0.6, model={"layer": "GRU", "dim": 4, "heads": 2})
    runs = runs_of(tmp_path)
    assert compare(runs, ["model.dim"]).others == {"model.heads": ["-", "2"]}
    runs[1].options["model"] = "TransformerClassifier"
    assert compare(runs, ["model"]).others == {"model.dim": ["8", "4"]}


def test_runs_without_a_test_are_left_out(runs, tmp_path):
    write_run(tmp_path / "new", seed=9)
    comparison = compare(runs_of(tmp_path), ["model.layer"])
    assert sum(len(group.runs) for group in comparison.groups) == 9
    assert (
        "new has no test scores and is left out: rnn-lab test --ckpt_path="
        in (comparison.warnings[0])
    )
    with pytest.raises(UserError, match=r"needs two tested runs; .*new has no test scores"):
        compare([runs[0], read_run(tmp_path / "new")])


def test_scores_of_other_tests_than_the_rows_are_refused(runs, tmp_path):
    write_run(tmp_path / "other", scores={"accuracy": 0.9}, table=classified(0.5))
    with pytest.raises(UserError, match=r"saved rows of .*other are those of another test"):
        compare(runs_of(tmp_path))


def test_other_test_rows_are_refused(runs, tmp_path):
    accuracy_run(tmp_path / "other", 0.5, rows=100)
    with pytest.raises(UserError, match="were tested on different rows"):
        compare(runs_of(tmp_path))


def test_runs_of_different_tasks_are_refused(runs, tmp_path):
    write_run(tmp_path / "other", scores={"bleu": 30.0})
    with pytest.raises(UserError, match="no test score in common"):
        compare(runs_of(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "acuracy"}, "--metric=acuracy is not .* in common: test/accuracy"),
        ({"by": ["model.lyer"]}, r"--by=model.lyer is not .* have: model.layer"),
        ({"by": ["model.layer"], "against": "LTSM"}, "--against=LTSM is not .* compared: LSTM"),
    ],
    ids=["metric", "option", "value"],
)
def test_unknown_names_are_refused_with_near_ones(arguments, message, runs):
    with pytest.raises(UserError, match=message):
        compare(runs, **arguments)


def forecast_run(folder, layer, shift, seed=1, origins=600, horizon=12):
    steps = np.random.default_rng([seed, len(layer)]).normal(1, 0.1, origins + horizon - 1)
    mse = np.convolve(steps + shift, np.ones(horizon) / horizon, "valid")
    table = {
        "row": np.arange(origins),
        "series": ["s"] * origins,
        "origin": np.arange(origins),
        "values": np.full(origins, horizon),
        "mse": mse,
    }
    write_run(
        folder, seed=seed, model={"layer": layer}, scores={"mse": float(mse.mean())}, table=table
    )
    path = folder / "config.yaml"
    path.write_text(path.read_text().replace("batch_size: 32", f"horizon: {horizon}"))


def test_forecasts_are_compared_in_blocks_and_by_diebold_mariano(tmp_path):
    for seed in (1, 2, 3):
        forecast_run(tmp_path / f"a{seed}", "GRU", 0.05, seed)
        forecast_run(tmp_path / f"b{seed}", "LSTM", 0.0, seed)
    comparison = compare(runs_of(tmp_path), against="LSTM")
    assert (comparison.units.name, comparison.units.overlap) == ("origins", 12)
    gru = comparison.groups[0]
    assert (gru.p_value < 0.01, gru.diebold_mariano < 0.01) == (True, True)
    assert comparison.groups[1].diebold_mariano is None


def test_too_few_independent_windows_are_not_resampled(tmp_path):
    for seed in (1, 2):
        forecast_run(tmp_path / f"a{seed}", "GRU", 0.05, seed, origins=60)
        forecast_run(tmp_path / f"b{seed}", "LSTM", 0.0, seed, origins=60)
    comparison = compare(runs_of(tmp_path), against="LSTM")
    assert comparison.units is None
    assert "only 60 origins, of which 12 overlap: too few" in comparison.warnings[0]
    assert comparison.groups[0].difference.of_rows == 0


def language_model(folder, shift, blocks=100):
    """Write the tested run of a language model; a shift is that of the loss, in nats."""
    hard = np.random.default_rng(0).normal(5, 0.3, blocks)  # the same for all models
    own = np.random.default_rng(round(1000 * shift)).normal(shift, 0.05, blocks)
    tokens = np.full(blocks, 1000)
    table = {"row": np.arange(1, blocks + 1), "tokens": tokens, "nll": (hard + own) * tokens}
    loss = table["nll"].sum() / tokens.sum()
    scores = {"perplexity": np.exp(loss).item(), "loss": loss.item()}
    return read_run(write_run(folder, model={"layer": folder.name}, scores=scores, table=table))


def test_language_models_are_compared_over_blocks_of_tokens(tmp_path):
    runs = [language_model(tmp_path / name, shift) for name, shift in (("GRU", 0.1), ("LSTM", 0.0))]
    comparison = compare(runs, ["model.layer"], "loss", against="LSTM")
    found = comparison.groups[0].difference
    assert (comparison.units.name, comparison.warnings) == ("blocks of tokens", [])
    assert 0 < found.low < 0.1 < found.high < 0.2
    assert found.of_rows == pytest.approx(0.05 * np.sqrt(2 / 100), rel=0.5)
    assert comparison.groups[0].diebold_mariano is None


def test_a_short_text_has_too_few_blocks(tmp_path):
    runs = [language_model(tmp_path / name, 0.0, 30) for name in ("GRU", "LSTM")]
    comparison = compare(runs, ["model.layer"], against="LSTM")
    expected = "only 30 blocks of tokens, of which 2 neighbors depend on each other: too few"
    assert any(expected in line for line in comparison.warnings)
    assert comparison.groups[0].difference is None
