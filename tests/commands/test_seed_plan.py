"""Runs of several seeds have names by which the same command finds them again."""

import json

import pytest
from command_line import REVIEWS, SIZES

from rnn_lab.commands._parsing import split_options
from rnn_lab.commands._seed_plan import SeedDryRun, plan
from rnn_lab.errors import UserError

pytestmark = pytest.mark.usefixtures("empty_folder")
OPTIONS = split_options([*REVIEWS[1:], *SIZES[:1], "--model=TextClassifier"])


def test_names_follow_from_the_options_of_the_line():
    runs = plan([*OPTIONS, ["--model.layer", "GRU"], ["--test"]], [1, 2])
    parts = "layer=GRU"
    assert all(parts in run.folder.name for run in runs)
    assert [run.folder.name.rpartition("-")[2] for run in runs] == ["seed=1", "seed=2"]
    assert "max_epochs" not in runs[0].folder.name
    again = plan([*OPTIONS, ["--model.layer", "GRU"], ["--test"]], [2])
    assert again[0].folder == runs[1].folder


def test_a_line_without_options_is_called_by_the_model():
    runs = plan([OPTIONS[0], ["--model=LSTMClassifier"]], [7])
    assert runs[0].folder.name == "LSTMClassifier-seed=7"


def test_each_run_resumes_itself_unless_it_is_overwritten():
    (run,) = plan([*OPTIONS, ["--name=a"]], [3])
    assert run.command[-4:] == [
        "--seed_everything=3", "--experiment=SyntheticReviews", "--name=a-seed=3",
        "--ckpt_path=last",
    ]  # fmt: skip
    assert (run.finished, run.note) == (False, "new")
    (run,) = plan([*OPTIONS, ["--name=a"], ["--overwrite=true"]], [3])
    assert "--ckpt_path=last" not in run.command


@pytest.mark.parametrize(
    ("state", "test", "finished"),
    [
        ({"state": "finished", "tested": True}, True, True),
        ({"state": "finished", "tested": False}, True, False),
        ({"state": "finished", "tested": False}, False, True),
        ({"state": "preempted"}, False, False),
        ({}, False, False),
    ],
    ids=["tested", "untested", "no_test", "preempted", "damaged"],
)
def test_a_run_has_finished_if_nothing_is_left_to_do(state, test, finished):
    options = [*OPTIONS, ["--name=a"], *([["--test=true"]] if test else [])]
    (run,) = plan(options, [1])
    run.folder.mkdir(parents=True)
    config = SeedDryRun(options, 1).plain_config()
    (run.folder / "config.yaml").write_text(json.dumps(config))
    (run.folder / "state.json").write_text(json.dumps(state))
    (again,) = plan(options, [1])
    assert (again.finished, again.note) == (finished, "finished" if finished else "resumed")
    with pytest.raises(UserError, match=r"other options: data.batch_size \(16, now 4\)"):
        plan([*options, ["--data.batch_size=4"]], [1])
    (longer,) = plan([*options, ["--trainer.max_epochs=9"]], [1])
    assert not longer.finished
