"""What a measurement depends on."""

import json

from rnn_lab.benchmarks.machine import machine


def test_versions_and_hardware_are_described():
    described = json.loads(json.dumps(machine("cpu")))
    assert described["device"] == "cpu"
    assert described["torch"].startswith("2.")
    assert described["cores"] >= 1
    assert described["kernels"]
