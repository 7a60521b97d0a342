"""Intervals have their nominal coverage where they can be calibrated, and are empty elsewhere."""

import importlib.util
import math
from pathlib import Path

import pytest

PATH = Path(__file__).parent / "benchmarks/interval_coverage.py"
EMPTY = {"10 in validation": {0.95}, "3 in validation": {0.8, 0.95}}


def benchmark():
    spec = importlib.util.spec_from_file_location("interval_coverage", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize("name", list(benchmark().CASES))
def test_coverage_is_nominal_within_three_points_or_the_column_is_empty(name):
    for nominal, measured in benchmark().coverage(name).items():
        if nominal in EMPTY.get(name, ()):
            assert math.isnan(measured)
        else:
            assert measured == pytest.approx(nominal, abs=0.03)
