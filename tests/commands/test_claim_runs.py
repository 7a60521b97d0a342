"""The runs of a claim are planned without training, and timings are saved."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from claim_runs import claim

from rnn_lab.claims import timing
from rnn_lab.claims.timing import Cost
from rnn_lab.commands import _claim_runs
from rnn_lab.commands._claim_runs import runs_of
from rnn_lab.errors import UserError
from rnn_lab.io.run_files import COST, STATE

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_each_variant_has_a_run_for_each_seed_with_its_options():
    made = replace(
        claim(),
        options={"trainer.max_epochs": 3},
        variants={"LSTM": {}, "GRU": {"model.hidden_dim": 8}},
    )
    runs = runs_of(made, [1, 2])
    assert runs.folders == {
        name: {seed: Path(f"runs/claims/gru/{name}-seed={seed}") for seed in (1, 2)}
        for name in ("LSTM", "GRU")
    }
    commands = {run.folder: run.command for run in runs.runs}
    line = commands[runs.folders["GRU"][2]]
    for option in ("--seed_everything=2", "--model.hidden_dim=8", "--trainer.max_epochs=3"):
        assert option in line
    assert "--model.hidden_dim=8" not in commands[runs.folders["LSTM"][1]]
    assert (runs.count_finished(), runs.count()) == (0, 4)
    assert not Path("runs").exists()


def test_an_invalid_option_is_refused():
    with pytest.raises(UserError, match="has no argument hiden_dim"):
        runs_of(replace(claim(), options={"model.hiden_dim": 8}), [1, 2])


@pytest.mark.parametrize(
    ("reason", "ended"), [("loss is nan at step 9: no checkpoint", True), ("no space", False)]
)
def test_a_run_that_diverged_is_not_repeated(reason, ended):
    folder = Path("runs/claims/gru/LSTM-seed=1")
    folder.mkdir(parents=True)
    (folder / STATE).write_text(json.dumps({"state": "failed", "reason": reason}))
    made = replace(claim(), variants={"LSTM": {}})
    assert [run.finished for run in runs_of(made, [1, 2]).runs] == [ended, False]


TIMED = replace(
    claim(),
    config="",
    benchmark="layers",
    variants={"LSTM": {"layer": "nn.LSTM, padded"}, "GRU": {"layer": "GRU"}},
)


@pytest.fixture
def timed(monkeypatch):
    """Replace timings by the seed, and return the seeds that were timed."""
    seeds = []

    def time_layers(timing, seed):
        seeds.append(seed)
        return {name: Cost(seed, None) for name in timing.layers}

    monkeypatch.setattr(_claim_runs, "time_layers", time_layers)
    return seeds


def test_timings_are_saved_and_those_of_new_seeds_are_added(timed):
    for seeds, before in (([1, 2], 0), ([1, 2], 4), ([2, 1, 3], 4)):
        runs = runs_of(TIMED, seeds)
        assert (runs.count_finished(), runs.count()) == (before, 2 * len(seeds))
        assert runs.complete(jobs=1) == 0
    assert timed == [1, 2, 3]
    assert json.loads((runs.folders["GRU"][3] / COST).read_text())["seconds"] == 3


def test_a_seed_of_which_a_variant_is_missing_is_timed_again(timed):
    runs = runs_of(TIMED, [1, 2])
    runs.complete(jobs=1)
    (runs.folders["GRU"][2] / COST).unlink()
    runs_of(TIMED, [1, 2]).complete(jobs=1)
    assert timed == [1, 2, 2]


def test_timings_with_other_options_are_not_mixed(timed):
    runs_of(TIMED, [1]).complete(jobs=1)
    with pytest.raises(
        UserError,
        match=r"LSTM-seed=1 has a timing with other options: units \(128, now 4\): remove it",
    ):
        runs_of(replace(TIMED, options={"units": 4}), [1])


def test_timings_with_other_kernels_are_not_mixed(timed, monkeypatch):
    runs_of(TIMED, [1]).complete(jobs=1)
    monkeypatch.setattr(timing, "kernels", lambda: "others")
    with pytest.raises(
        UserError, match=r"has a timing with other options: kernels \(.*, now others"
    ):
        runs_of(TIMED, [1, 2])


def test_a_folder_that_cannot_be_created_is_named(timed):
    Path("runs").write_text("")
    with pytest.raises(UserError, match="LSTM-seed=1 cannot be created: Not a directory"):
        runs_of(TIMED, [1]).complete(jobs=1)
