"""The runs of a claim are planned without training."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from claim_runs import claim

from rnn_lab.commands._claim_runs import plan
from rnn_lab.errors import UserError
from rnn_lab.io.run_files import STATE

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_each_variant_has_a_run_for_each_seed_with_its_options():
    made = replace(
        claim(),
        options={"trainer.max_epochs": 3},
        variants={"LSTM": {}, "GRU": {"model.hidden_dim": 8}},
    )
    runs = plan(made, [1, 2])
    assert {name: [run.folder for run in each] for name, each in runs.items()} == {
        name: [Path(f"runs/claims/gru/{name}-seed={seed}") for seed in (1, 2)]
        for name in ("LSTM", "GRU")
    }
    line = runs["GRU"][1].command
    for option in ("--seed_everything=2", "--model.hidden_dim=8", "--trainer.max_epochs=3"):
        assert option in line
    assert "--model.hidden_dim=8" not in runs["LSTM"][0].command
    assert not any(run.finished for each in runs.values() for run in each)
    assert not Path("runs").exists()


def test_an_invalid_option_is_refused():
    with pytest.raises(UserError, match="has no argument hiden_dim"):
        plan(replace(claim(), options={"model.hiden_dim": 8}), [1, 2])


@pytest.mark.parametrize(
    ("reason", "ended"), [("loss is nan at step 9: no checkpoint", True), ("no space", False)]
)
def test_a_run_that_diverged_is_not_repeated(reason, ended):
    folder = Path("runs/claims/gru/LSTM-seed=1")
    folder.mkdir(parents=True)
    (folder / STATE).write_text(json.dumps({"state": "failed", "reason": reason}))
    made = replace(claim(), variants={"LSTM": {}})
    assert [run.finished for run in plan(made, [1, 2])["LSTM"]] == [ended, False]
