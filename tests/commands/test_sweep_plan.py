"""A sweep is planned with the metric of the task, and its study refuses other options."""

import io
from pathlib import Path

import pytest
from command_line import SIZES
from optuna.trial import TrialState

from rnn_lab.commands import sweep
from rnn_lab.commands._parsing import split_options
from rnn_lab.commands._sweep_plan import plan, report
from rnn_lab.errors import UserError

pytestmark = pytest.mark.usefixtures("empty_folder")
OPTIONS = ["--model=TextClassifier", "--data=SyntheticReviews", SIZES[0], "--name=a"]


def planned(*own, options=OPTIONS, space="model.layer: [LSTM, GRU]"):
    Path("space.yaml").write_text(space)
    args = sweep._parser().parse_args(["--space=space.yaml", *own])
    return plan(args, split_options(options))


def test_metric_and_direction_are_those_of_the_task():
    found = planned("--trials=7", "--pruner=median")
    settings = found.study.settings
    assert (settings.metric, settings.mode, settings.pruner) == ("val/accuracy", "max", "median")
    assert (found.budget.trials, found.study.folder) == (7, Path("runs/SyntheticReviews/a"))
    assert "--name=a" not in found.options


def test_a_loss_is_minimized_and_other_metrics_need_a_direction():
    found = planned("--metric=val/loss")
    assert (found.study.settings.metric, found.study.settings.mode) == ("val/loss", "min")
    given = planned("--metric=val/f1", "--mode=max", options=[*OPTIONS[:-1], "--name=b"])
    assert given.study.settings.mode == "max"


def test_a_grid_has_as_many_trials_as_points():
    space = "model.layer: [LSTM, GRU]\nmodel.hidden_dim: {int: [8, 24], step: 8}"
    assert planned("--sampler=grid", space=space).budget.trials == 6
    assert planned(options=[*OPTIONS[:-1], "--name=b"]).budget.trials == 20


def test_a_sweep_of_the_name_with_other_options_is_refused():
    assert planned().study.trials() == []
    another = planned(options=[*OPTIONS, "--data.batch_size=4"])
    with pytest.raises(UserError, match="has a sweep with another options: give another --name"):
        _ = another.study


def test_a_plan_writes_nothing():
    planned()
    assert [path.name for path in Path().iterdir()] == ["space.yaml"]


def test_results_wait_for_the_trials_of_other_processes():
    found = planned()
    output = io.StringIO()
    trial = found.study.next_trial(2)
    report(found, output)
    assert "1 trial is trained by other processes, of which the last writes" in output.getvalue()
    assert not (found.folder / "sweep.csv").exists()
    found.study.tell(trial, TrialState.FAIL)
    report(found, output)
    assert (found.folder / "sweep.csv").exists()
