"""A sweep is planned with the metric of the task, and its study refuses other options."""

from pathlib import Path

import pytest
from command_line import SIZES

from rnn_lab.commands import sweep
from rnn_lab.commands._parsing import split_options
from rnn_lab.commands._sweep_plan import plan
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
    assert (found.trials, found.study.folder) == (7, Path("runs/SyntheticReviews/a"))
    assert "--name=a" not in found.options


def test_a_loss_is_minimized_and_other_metrics_need_a_direction():
    found = planned("--metric=val/loss")
    assert (found.study.settings.metric, found.study.settings.mode) == ("val/loss", "min")
    given = planned("--metric=val/f1", "--mode=max", options=[*OPTIONS[:-1], "--name=b"])
    assert given.study.settings.mode == "max"


def test_a_grid_has_as_many_trials_as_points():
    space = "model.layer: [LSTM, GRU]\nmodel.hidden_dim: {int: [8, 24], step: 8}"
    assert planned("--sampler=grid", space=space).trials == 6
    assert planned(options=[*OPTIONS[:-1], "--name=b"]).trials == 20


def test_a_sweep_of_the_name_with_other_options_is_refused():
    planned()
    with pytest.raises(UserError, match="has a sweep with another options: give another --name"):
        planned(options=[*OPTIONS, "--data.batch_size=4"])
