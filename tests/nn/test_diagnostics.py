"""Decay of gradients over time: the measurement, its figure, and the table of the benchmark."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rnn_lab.nn import build_layer
from rnn_lab.nn.diagnostics import gradient_by_distance
from rnn_lab.training.plots import plot_gradient_decay

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "long_memory.py"


class LeakyIntegrator(nn.Module):
    """Multiplies its state by a constant factor at each step."""

    def __init__(self, decay):
        super().__init__()
        self.decay = nn.Parameter(torch.tensor(decay))

    def forward(self, x):
        state, outputs = torch.zeros_like(x[:, 0]), []
        for step in x.unbind(1):
            state = self.decay * state + step
            outputs.append(state)
        return torch.stack(outputs, 1), state


@pytest.mark.parametrize("decay", [0.5, 1.0, 1.25])
def test_the_gradient_decays_like_the_state(decay):
    norms = gradient_by_distance(LeakyIntegrator(decay), 3, 8)
    torch.testing.assert_close(norms, decay ** torch.arange(8.0, dtype=torch.double))


def test_the_measured_layer_is_not_changed():
    layer = build_layer("GRU", 3, 4, 2, 0.5).train()
    before = {name: weight.clone() for name, weight in layer.state_dict().items()}
    first, second = gradient_by_distance(layer, 3, 6), gradient_by_distance(layer, 3, 6)
    torch.testing.assert_close(first, second)  # no dropout
    assert layer.training
    assert all(p.grad is None and p.dtype == torch.float32 for p in layer.parameters())
    torch.testing.assert_close(layer.state_dict(), before, rtol=0, atol=0)


def test_the_gradient_of_an_lstm_decays_more_slowly_than_that_of_a_simple_rnn():
    torch.manual_seed(0)
    simple, lstm = (gradient_by_distance(build_layer(n, 16, 16), 16, 60) for n in ("RNN", "LSTM"))
    assert lstm[59] > 1000 * simple[59]


def test_the_figure_shows_each_layer_on_a_logarithmic_scale():
    curves = {f"layer {i}": 0.5 ** np.arange(9) for i in range(8)}
    (axes,) = plot_gradient_decay(curves).axes
    assert axes.get_yscale() == "log"
    assert [line.get_label() for line in axes.lines] == list(curves)
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 8
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), curves["layer 0"])


@pytest.fixture
def benchmark(tmp_path, monkeypatch):
    """The benchmark in an empty directory; an attempt to train fails the test."""
    spec = importlib.util.spec_from_file_location("long_memory", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    module.RUNS.mkdir(parents=True)
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: pytest.fail("was run again"))
    return module


def save_result(benchmark, name, **result):
    (benchmark.RUNS / f"{name}.json").write_text(json.dumps({"seconds": 12.4, **result}))


def test_the_table_of_the_benchmark_is_made_from_saved_results(benchmark, capsys):
    save_result(
        benchmark, "adding-200-LSTM-1", solved=True, best=0.004, steps=1400, parameters=17473
    )
    save_result(
        benchmark, "copy-100-LSTM-1", solved=False, best=0.131, steps=5210, parameters=73353
    )
    save_result(
        benchmark, "adding-200-RNN-1", solved=False, best=0.1664, steps=9000, parameters=4417
    )
    save_result(benchmark, "copy-100-RNN-1", solved=False, best=0.128, steps=9100, parameters=19081)
    assert benchmark.main(["LSTM", "RNN", "--tasks", "adding-200", "copy-100"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "| Layer | Parameters | adding, 200 | seconds | copying, 100 | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
        "| LSTM | 17,473 / 73,353 | **1,400** | 12 | not in 5,210: 13% right | 12 |",
        "| RNN | 4,417 / 19,081 | not in 9,000: mse 0.166 | 12 | not in 9,100: 13% right | 12 |",
    ]


def test_a_failed_run_does_not_stop_the_others(benchmark, capsys, monkeypatch):
    class Failed:
        returncode, stderr = 1, "rnn-lab: it broke"

    monkeypatch.setattr(benchmark.subprocess, "run", lambda *_, **__: Failed)
    save_result(benchmark, "adding-200-GRU-1", solved=True, best=0.004, steps=900, parameters=13121)
    assert benchmark.main(["RNN", "GRU", "--tasks", "adding-200"]) == 1
    printed = capsys.readouterr()
    rows = printed.out.splitlines()[2:]
    assert rows == ["| RNN |  | failed |  |", "| GRU | 13,121 | **900** | 12 |"]
    assert "adding-200-RNN-1: rnn-lab: it broke" in printed.err
    assert not (benchmark.RUNS / "adding-200-RNN-1.json").exists()


def test_gradients_are_printed_and_plotted_by_distance(benchmark, capsys):
    benchmark.gradients(["RNN", "GRU"], seed=1, size=4, num_seeds=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| Steps before | 1 | 10 | 50 | 100 | 200 |"
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| RNN", "| GRU"]
    assert (benchmark.RUNS / "gradients.png").stat().st_size > 1000


@pytest.mark.slow
def test_the_result_of_a_run_is_read_from_its_directory(benchmark, monkeypatch):
    from rnn_lab.__main__ import main

    folder = benchmark.RUNS / "adding-200-GRU-1"
    words = ["--model=SequenceRegressor", "--data=AddingProblem", "--data.length=4"]
    words += ["--model.optimizer.lr=0.01", "--trainer.accelerator=cpu", "--trainer.max_epochs=3"]
    words += [f"--trainer.default_root_dir={folder}"]
    words += ["--trainer.callbacks+=rnn_lab.training.TimeBudget", "--trainer.callbacks.minutes=1"]
    words += ["--trainer.callbacks.anneal_lr=false"]
    assert main(["fit", *words]) == 0
    result = benchmark.read(folder, benchmark.TASKS["adding-200"])
    assert (result["solved"], result["steps"], result["parameters"]) == (True, 300, 17473)
    assert 0 < result["best"] < 0.01
    assert 0 < result["seconds"] < 60
