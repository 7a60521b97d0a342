"""Plans of the runs of a job."""

import os
from argparse import Namespace
from pathlib import Path

import pytest

from rnn_lab.commands._dry_run import make_plan
from rnn_lab.errors import UserError

pytestmark = pytest.mark.usefixtures("empty_folder")
REVIEWS = [["--model=LSTMClassifier"], ["--data=SyntheticReviews"]]


def arguments(**options):
    return Namespace(**(dict(array=None, nodes=1, tasks_per_node=1, gpus_per_node=0) | options))


def test_planning_writes_nothing_and_sets_no_environment_variable():
    before = dict(os.environ)
    make_plan(arguments(), REVIEWS)
    assert not list(Path().iterdir())
    assert os.environ == before


def test_a_run_without_a_name_gets_a_new_one_which_fit_receives():
    Path("runs/SyntheticReviews/LSTMClassifier-1").mkdir(parents=True)
    plan = make_plan(arguments(), REVIEWS)
    assert plan.folder == Path("runs/SyntheticReviews/LSTMClassifier-2")
    assert plan.runs[0].options == [["--name=LSTMClassifier-2"]]
    assert ["--experiment=SyntheticReviews"] in plan.options


def test_the_job_determines_the_size_of_the_trainer():
    plan = make_plan(arguments(nodes=2, tasks_per_node=4, gpus_per_node=4), REVIEWS)
    expected = {"num_nodes=2", "devices=4", "accelerator=gpu", "strategy=ddp"}
    assert {f"--trainer.{each}" for each in expected} <= {option[0] for option in plan.options}
    with pytest.raises(UserError, match=r"--trainer\.devices=2 contradicts .*: remove it"):
        make_plan(arguments(tasks_per_node=4), [*REVIEWS, ["--trainer.devices", "2"]])


def test_the_runs_of_an_array_have_names_with_a_common_start():
    Path("grid.yaml").write_text("model.hidden_dim: [4, 8]")
    plan = make_plan(arguments(array="grid.yaml"), [*REVIEWS, ["--name=g"]])
    assert plan.folder.name == "g"
    assert [run.folder.name for run in plan.runs] == ["g-hidden_dim=4", "g-hidden_dim=8"]
    assert [run.options[0] for run in plan.runs] == [
        ["--model.hidden_dim=4"],
        ["--model.hidden_dim=8"],
    ]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--trainer.fast_dev_run=true", "fast_dev_run is not supported by submit"),
        ("--ckpt_path=a.ckpt", "a.ckpt does not exist"),
        ("--data.batch_size=0", "batch_size must be at least 1"),
    ],
)
def test_an_invalid_run_is_reported(option, message):
    with pytest.raises(UserError, match=message):
        make_plan(arguments(), [*REVIEWS, [option]])


def test_a_missing_file_of_the_data_is_reported():
    options = [["--model=LSTMClassifier"], ["--data=TextFiles"], ["--data.train=no.csv"]]
    with pytest.raises(UserError, match=r"--data\.train: no\.csv does not exist"):
        make_plan(arguments(), options)
