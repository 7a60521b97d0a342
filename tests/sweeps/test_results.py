"""A sweep leaves a table, and a config of its best trial that can be trained again."""

import csv
import json

import pytest
import yaml
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState

from rnn_lab.errors import UserError
from rnn_lab.sweeps.results import write_best, write_table
from rnn_lab.sweeps.study import Settings, Study


@pytest.fixture
def study(tmp_path):
    space = {"model.layer": CategoricalDistribution(["LSTM", "GRU"])}
    study = Study(tmp_path / "s", space, Settings("val/accuracy", "max"), [])
    for value in (0.25, 0.75):
        trial = study.next_trial(9)
        trial.report(value, 3)
        study.tell(trial, TrialState.COMPLETE, value)
        folder = study.folder / f"trial-{trial.number}"
        folder.mkdir()
        config = {"seed_everything": 1, "name": "a", "trainer": {"default_root_dir": "x"}}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        (folder / "cost.json").write_text(json.dumps({"seconds": 4.5}))
    study.tell(study.next_trial(9), TrialState.FAIL)
    return study


def test_the_table_has_a_row_for_each_trial(study):
    with open(write_table(study), newline="") as file:
        first, _, failed = csv.DictReader(file)
    layer = study.trials()[0].params["model.layer"]
    assert first == {
        "trial": "0", "state": "complete", "val/accuracy": "0.25", "epoch": "3", "seconds": "4.5",
        "model.layer": layer,
    }  # fmt: skip
    assert (failed["state"], failed["val/accuracy"], failed["seconds"]) == ("fail", "", "")


def test_the_config_of_the_best_trial_has_no_place(study):
    text = write_best(study, study.best()).read_text()
    assert text.startswith("# Trial 1 of 3: val/accuracy 0.7500, optimistic")
    assert yaml.safe_load(text) == {"seed_everything": 1, "trainer": {}}


def test_files_that_cannot_be_written_are_named(study):
    (study.folder / "sweep.csv").mkdir()
    with pytest.raises(UserError, match=r"sweep.csv cannot be written: "):
        write_table(study)
    (study.folder / "trial-1" / "config.yaml").unlink()
    with pytest.raises(UserError, match=r"best.yaml cannot be written: No such file"):
        write_best(study, study.best())
