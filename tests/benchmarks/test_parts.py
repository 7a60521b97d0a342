"""The parts of the command."""

import json

import pytest

from rnn_lab.benchmarks.parts import PARTS
from rnn_lab.benchmarks.settings import Settings


@pytest.mark.parametrize("name", PARTS)
def test_a_part_plans_comparisons_that_a_process_can_be_told(name):
    planned = list(PARTS[name].comparisons(Settings(quick=True)))
    assert planned
    for each in planned:
        assert each.part == name
        assert json.loads(json.dumps(each.options)).keys() >= {"device", "bfloat16"}
        names = {variant.name for variant in each.variants}
        assert names >= {*each.references}
        assert names >= {variant for group in each.equal for variant in group}
