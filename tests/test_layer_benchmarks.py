"""The tables that compare layers: what they read of a run, and that they train nothing twice."""

import importlib.util
import json
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent / "benchmarks"


def loaded(name):
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_row_tells_each_seed_their_mean_and_what_it_cost():
    layers = loaded("layers")
    runs = [
        {"score": s, "parameters": 1234, "examples_per_second": 10.0 * n, "epochs": n, "steps": 5}
        for n, s in ((1, 0.5), (2, 0.7), (3, 0.9))
    ]
    told = layers.row("GRU", layers.TASKS["sst2"], runs)
    assert told == "| GRU | 50.00 70.00 90.00 | **70.00** | 1,234 | 20 | 2.0 |"
    assert layers.row("GRU", layers.TASKS["sst2"], []).startswith("| GRU | failed |")


@pytest.fixture
def layers(tmp_path, monkeypatch):
    """The comparison, in an empty folder, with a small task beside its own."""
    monkeypatch.chdir(tmp_path)
    layers = loaded("layers")
    words = ("--model=TextClassifier", "--model.hidden_dim=8", "--data=SyntheticReviews")
    benchmark = layers.Benchmark("reviews", words, 64, 0.02, "accuracy")
    monkeypatch.setitem(layers.TASKS, "reviews", benchmark)
    return layers


@pytest.mark.slow
def test_a_run_is_trained_for_its_budget_and_only_once(layers, tmp_path):
    found = layers.result("reviews", "MinGRU", 1)
    assert found["seconds"] == pytest.approx(1.2, abs=1.0)
    assert 0 < found["score"] <= 1
    assert found["steps"] > 0
    assert found["examples_per_second"] == found["steps"] * 64 / found["seconds"]
    (tmp_path / "runs/layers/reviews-MinGRU-1.json").write_text(json.dumps(found | {"steps": -1}))
    assert layers.result("reviews", "MinGRU", 1)["steps"] == -1


@pytest.mark.slow
def test_a_layer_that_is_not_there_is_reported_and_the_others_go_on(layers, capsys):
    assert layers.main(["LSTN", "GRU", "--tasks", "reviews", "--seeds", "1"]) == 1
    told = capsys.readouterr()
    assert "| LSTN | failed |" in told.out
    assert told.out.splitlines()[3].startswith("| GRU | ")
    assert "did you mean LSTM" in told.err
