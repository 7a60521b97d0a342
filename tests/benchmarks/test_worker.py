"""The process that measures: what it answers, called here without a process."""

import io
import json
from dataclasses import asdict

import pytest

from rnn_lab.benchmarks import layers, worker
from rnn_lab.benchmarks.settings import Settings
from rnn_lab.errors import UserError


@pytest.fixture
def described():
    comparison, _ = layers.comparisons(Settings(True, layers=("GRU",)), [(2, 3, 4)])
    return {**asdict(comparison), "names": ["nn.GRU", "GRU"]}


def test_each_request_is_answered(described):
    requests = [
        described,
        {"values": "GRU"}, {"values": "nn.GRU"}, {"flops": "GRU"}, {"megabytes": "GRU"},
        {"run": "GRU", "number": 3}, {"gemm": True},
    ]  # fmt: skip
    ready, ours, torch_values, flops, memory, sample, gemm = worker.answers(requests)
    assert ready["kernels"]
    assert ours["values"] == pytest.approx(torch_values["values"], abs=1e-5)
    assert flops["flops"] == 6 * 2 * 3 * 4 * 4
    assert memory["megabytes"] is None or memory["megabytes"] >= 0
    assert sample["sample"].items == 6
    assert gemm["gemm"] > 0


def test_an_unknown_request_is_an_error(described):
    with pytest.raises(ValueError, match="unknown request"):
        list(worker.answers([described, {"walk": 1}]))


def test_lines_are_answered_by_lines_and_a_mistake_too(described, monkeypatch):
    output = io.StringIO()
    worker.serve(io.StringIO(json.dumps(described) + "\n"), output)
    assert json.loads(output.getvalue()).keys() == {"kernels"}

    def refuse(options, names):
        raise UserError("no data")

    part = worker.PARTS["layers"]
    monkeypatch.setitem(worker.PARTS, "layers", part._replace(build=refuse))
    output = io.StringIO()
    worker.serve(io.StringIO(json.dumps(described) + "\n"), output)
    assert json.loads(output.getvalue()) == {"error": "no data"}
