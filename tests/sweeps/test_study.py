"""A study survives its processes: nothing is lost, done twice, or mixed with another sweep."""

import multiprocessing
import os
from dataclasses import replace

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from rnn_lab.errors import UserError
from rnn_lab.sweeps.study import JOURNAL, Settings, Study

SPACE = {"layer": CategoricalDistribution(["LSTM", "GRU"]), "lr": FloatDistribution(0, 1)}
SETTINGS = Settings("val/accuracy", "max")
context = multiprocessing.get_context("spawn")


def study_in(folder, space=SPACE, settings=SETTINGS, options=("--data=A",)):
    return Study(folder / "s", space, settings, [*options])


def complete(study, value, limit=99):
    trial = study.next_trial(limit)
    study.tell(trial, TrialState.COMPLETE, value)
    return trial


def test_trials_are_counted_and_the_best_one_is_found(tmp_path):
    study = study_in(tmp_path)
    for value in (0.2, 0.7, 0.5):
        complete(study, value)
    assert study.next_trial(3) is None
    assert (study.best().number, study.best().value) == (1, 0.7)
    lower = study_in(tmp_path / "b", settings=replace(SETTINGS, mode="min"))
    assert lower.best() is None
    complete(lower, 0.7), complete(lower, 0.2)
    assert lower.best().value == 0.2


def test_failed_and_pruned_trials_are_not_best(tmp_path):
    study = study_in(tmp_path)
    study.tell(study.next_trial(9), TrialState.FAIL)
    pruned = study.next_trial(9)
    pruned.report(0.9, 1)
    study.tell(pruned, TrialState.PRUNED)
    complete(study, 0.1)
    assert study.best().number == 2


def test_a_study_opens_again_and_chooses_as_without_interruption(tmp_path):
    whole, parts = study_in(tmp_path / "a"), None
    for number in range(14):
        parts = study_in(tmp_path / "b")
        one, other = complete(whole, number % 5), complete(parts, number % 5)
        assert one.params == other.params
    assert len(parts.trials()) == 14


def test_a_trial_belongs_to_one_process_until_it_ends(tmp_path):
    first, second = study_in(tmp_path), study_in(tmp_path)
    trial = first.next_trial(2)
    assert second.next_trial(2).number == 1
    assert second.next_trial(2) is None
    first.release(trial)  # as if its process had ended
    assert second.next_trial(2).number == trial.number


def begin(folder):
    study_in(folder).next_trial(5)
    os._exit(1)


def test_the_trial_of_a_dead_process_is_gone_on_with(tmp_path):
    process = context.Process(target=begin, args=(tmp_path,))
    process.start()
    process.join()
    study = study_in(tmp_path)
    assert study.next_trial(5).number == 0
    assert study.next_trial(5).number == 1


def test_a_grid_has_each_point_once(tmp_path):
    space = {"layer": CategoricalDistribution(["LSTM", "GRU"])}
    settings = replace(SETTINGS, sampler="grid")
    study = study_in(tmp_path, space, settings)
    chosen = [complete(study, 0.5, 2).params["layer"] for _ in range(2)]
    assert sorted(chosen) == ["GRU", "LSTM"]
    assert study_in(tmp_path, space, settings).next_trial(2) is None


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"space": {"layer": CategoricalDistribution(["RNN"])}}, "space"),
        ({"options": ("--data=B",)}, "options"),
        ({"settings": Settings("val/f1", "max")}, "metric"),
    ],
    ids=["space", "options", "metric"],
)
def test_another_sweep_of_the_name_is_refused(changed, named, tmp_path):
    study_in(tmp_path)
    with pytest.raises(UserError, match=f"has a sweep with another {named}: give another --name"):
        study_in(tmp_path, **changed)


def test_a_pruner_ends_trials_that_are_worse_than_the_median(tmp_path):
    study = study_in(tmp_path, settings=replace(SETTINGS, pruner="median"))
    for value in range(5):
        trial = study.next_trial(9)
        trial.report(0.5 + value / 100, 1)
        study.tell(trial, TrialState.COMPLETE, 0.5 + value / 100)
    bad, good = study.next_trial(9), study.next_trial(9)
    bad.report(0.1, 1)
    good.report(0.9, 1)
    assert (bad.should_prune(), good.should_prune()) == (True, False)


def test_importances_need_trials_that_differ(tmp_path):
    study = study_in(tmp_path)
    assert study.importances() == {}
    for _ in range(12):
        trial = study.next_trial(99)
        study.tell(trial, TrialState.COMPLETE, trial.params["lr"])
    importances = study.importances()
    assert importances.keys() == SPACE.keys()
    assert importances["lr"] > importances["layer"]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "s").write_text("")
    with pytest.raises(UserError, match="cannot be opened: File exists"):
        study_in(tmp_path)


def test_a_damaged_journal_is_named(tmp_path):
    study_in(tmp_path)
    (tmp_path / "s" / JOURNAL).write_text("broken\nbroken\n")
    with pytest.raises(UserError, match=r"study.journal is damaged"):
        study_in(tmp_path)
