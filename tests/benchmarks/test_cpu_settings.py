"""Ways to set the CPU."""

import pytest

from rnn_lab.benchmarks import cpu_settings
from rnn_lab.benchmarks.settings import Settings

OPTIONS = {"length": 5, "batch_size": 3, "hidden_dim": 4, "steps": 2}
OPTIONS |= {"device": "cpu", "bfloat16": False}


@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no")
def test_all_ways_train_the_same(monkeypatch):
    called = []
    monkeypatch.setattr(cpu_settings.rnn_lab, "configure_cpu", lambda: called.append(1))
    losses = set()
    for way in ("start", "hook", "late", "shipped"):
        built = cpu_settings.build(OPTIONS, [way])
        losses.update(built[way].values())
        assert built[way].run(0).items == 2
    assert len(losses) == 1
    assert len(called) == 1  # at the start


def test_each_way_has_a_process_that_does_not_set_the_cpu_itself():
    (comparison,) = cpu_settings.comparisons(Settings(quick=True), 2)
    assert comparison.options["configure_cpu"] is False
    environments = [tuple(each.environment.items()) for each in comparison.variants]
    assert len(set(environments)) == 4
