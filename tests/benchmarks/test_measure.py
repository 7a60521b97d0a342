"""The turns of a measurement."""

from contextlib import contextmanager

import pytest

from rnn_lab.benchmarks import measure as module
from rnn_lab.benchmarks.comparison import Comparison, Variant
from rnn_lab.errors import UserError

VARIANTS = [Variant(name, name) for name in ("a", "b")]
COMPARED = Comparison("layers", "2 x 3", {}, VARIANTS, ["a"], [["a", "b"]], "tokens")


class Recorder:
    """A process that records what it is asked."""

    kernels = "PyTorch"

    def __init__(self, values):
        self.asked, self.given = [], values

    def values(self, name):
        return self.given[name]

    def megabytes(self, name):
        self.asked.append(("megabytes", name))

    def flops(self, name):
        return 2.0

    def gemm(self):
        self.asked.append("gemm")
        return float(len(self.asked))

    def run(self, name, number):
        self.asked.append((name, number))
        return 0.5, 4.0


def opened(monkeypatch, values):
    process = Recorder(values)

    @contextmanager
    def open_processes(comparison):
        yield dict.fromkeys("ab", process)

    monkeypatch.setattr(module, "open_processes", open_processes)
    return process


def test_variants_take_turns_with_matrix_products(monkeypatch):
    process = opened(monkeypatch, {"a": [1.0], "b": [1.0]})
    lines = []
    result = module.measure(COMPARED, 2, lines.append)
    rounds = ["gemm", ("a", 0), ("b", 0), "gemm", ("a", 1), ("b", 1)]
    assert process.asked == [("megabytes", "a"), ("megabytes", "b"), *rounds]
    assert result.gemm == 6.0
    assert [each.name for each in result.variants] == ["a", "b"]
    assert result.variants[1].samples == [(0.5, 4.0)] * 2
    assert lines[-1] == "layers, 2 x 3: round 2 of 2"


def test_unequal_variants_are_not_timed(monkeypatch):
    process = opened(monkeypatch, {"a": [1.0], "b": [2.0]})
    with pytest.raises(UserError, match="do not compute the same"):
        module.measure(COMPARED, 2)
    assert process.asked == []
