"""The result of a claim from the folders of its runs."""

import json
import shutil
from dataclasses import replace

import pytest
from claim_runs import claim, folders, hypothesis
from saved_runs import experiment, write_run

from rnn_lab.claims.page import markdown
from rnn_lab.claims.result import result
from rnn_lab.claims.verdict import Verdict
from rnn_lab.io.run_files import CONFIG, COST

CASES = [
    ({"LSTM": [0.6, 0.61, 0.6], "GRU": [0.9, 0.91, 0.9]}, Verdict.HOLDS),
    ({"LSTM": [0.9, 0.91, 0.9], "GRU": [0.6, 0.61, 0.6]}, Verdict.FAILS),
    ({"LSTM": [0.6, 0.7, 0.65], "GRU": [0.65, 0.62, 0.7]}, Verdict.UNDECIDED),
]


@pytest.mark.parametrize(("values", "verdict"), CASES, ids=[case[1].name for case in CASES])
def test_the_verdict_follows_from_the_runs(values, verdict, tmp_path):
    experiment(tmp_path, values)
    found = result(claim(), folders(tmp_path, values))
    assert (found.verdict, found.problems, found.is_complete) == (verdict, [], True)


def test_missing_runs_are_named_and_decide_nothing(tmp_path):
    values = CASES[0][0]
    experiment(tmp_path, values)
    shutil.rmtree(tmp_path / "GRU-1")
    shutil.rmtree(tmp_path / "GRU-2")
    write_run(tmp_path / "GRU-2", seed=2)
    found = result(claim(), folders(tmp_path, values))
    assert found.verdict is Verdict.UNDECIDED
    assert not found.is_complete
    assert len(found.problems) == 2
    assert f"{tmp_path}/GRU-2 has no test scores" in found.problems


def test_a_hypothesis_that_cannot_be_measured_is_not_decided(tmp_path):
    values = CASES[0][0]
    experiment(tmp_path, values)
    found = result(claim(hypothesis(), hypothesis("mean val/x")), folders(tmp_path, values))
    assert [each.verdict for each in found.outcomes] == [Verdict.HOLDS, Verdict.UNDECIDED]
    assert "has no val/x" in found.problems[0]


def test_a_run_that_diverged_counts_and_is_named(tmp_path):
    values = CASES[0][0]
    experiment(tmp_path, values)
    shutil.rmtree(tmp_path / "LSTM-1")
    state = {"state": "failed", "reason": "loss is nan at step 9 (epoch 1): no checkpoint"}
    write_run(tmp_path / "LSTM-1", state=state)
    found = result(claim(), folders(tmp_path, values))
    assert len(found.runs["LSTM"]) == 3
    (problem,) = found.problems
    assert f"{tmp_path}/LSTM-1 diverged (loss is nan at step 9 (epoch 1))" in problem


def test_a_claim_on_speed_needs_costs_and_no_test(tmp_path):
    timed = replace(claim(hypothesis("seconds", "lower")), config="", benchmark="layers")
    values = {"LSTM": [2.0, 2.1], "GRU": [1.0, 1.1]}
    for name, each in values.items():
        for seed, seconds in enumerate(each, 1):
            folder = tmp_path / f"{name}-{seed}"
            folder.mkdir()
            (folder / CONFIG).write_text(f"seed_everything: {seed}\nkernels: compiled 1")
            (folder / COST).write_text(json.dumps({"seconds": seconds}))
    found = result(timed, folders(tmp_path, values))
    assert (found.verdict, found.problems, found.is_complete) == (Verdict.HOLDS, [], True)
    page = markdown(found)
    assert "| holds | seconds | GRU, LSTM | 1.049, 2.049 |" in page
    assert "- Kernels of the layers of rnn_lab: compiled 1" in page
