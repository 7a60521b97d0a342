"""What a measurement depends on."""

import json

from rnn_lab.benchmarks.machine import kernels, machine
from rnn_lab.nn.native import library


def test_versions_and_hardware_are_described():
    described = json.loads(json.dumps(machine("cpu")))
    assert described["device"] == "cpu"
    assert described["torch"].startswith("2.")
    assert described["cores"] >= 1
    assert described["kernels"]


def test_the_kernels_in_use_are_named(monkeypatch):
    monkeypatch.setattr(library, "load", lambda: None)
    monkeypatch.setattr(library, "find", lambda: library.Status(None, "they are not built"))
    assert kernels() == "plain PyTorch: they are not built"
    monkeypatch.setattr(library, "load", lambda: object())
    assert kernels().startswith("compiled ")
