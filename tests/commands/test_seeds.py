"""`rnn-lab fit --seeds`: a run for each seed, which the same command resumes."""

import json
from pathlib import Path

import pytest
import yaml
from command_line import REVIEWS, SIZES, error_of, run

from rnn_lab.io.run_files import CHECKPOINTS, STATE

pytestmark = pytest.mark.usefixtures("empty_folder")
FOLDER = Path("runs/SyntheticReviews")
LINE = ("fit", *REVIEWS, *SIZES, "--name=a")


def state(seed):
    return json.loads((FOLDER / f"a-seed={seed}" / STATE).read_text())


@pytest.mark.slow
def test_runs_are_trained_tested_and_not_repeated(capsys):
    seeds = ("--seeds=1,2", "--jobs=2", "--test")
    assert run(*LINE, *seeds) == 0
    printed = capsys.readouterr()
    assert f"rnn-lab compare {FOLDER}" in printed.out
    before = [state(seed) for seed in (1, 2)]
    assert [each["state"] for each in before] == ["finished"] * 2
    assert all(each["tested"] for each in before)
    config = yaml.safe_load((FOLDER / "a-seed=2/config.yaml").read_text())
    assert config["seed_everything"] == 2
    assert "epoch 1/1" in (FOLDER / "a-seed=1/fit.log").read_text()

    assert run(*LINE, "--seeds=1,2,3", *seeds[1:]) == 0
    assert [state(seed) for seed in (1, 2)] == before
    assert state(3)["state"] == "finished"
    assert "a-seed=1: finished" in capsys.readouterr().err

    # More epochs continue all runs.
    assert run(*LINE, "--seeds=1,2", "--jobs=2", "--trainer.max_epochs=2") == 0
    assert [state(seed)["epoch"] for seed in (1, 2)] == [2, 2]

    message = "has a run with other options: data.batch_size (16, now 8)"
    changed = ("--data.batch_size=8", "--trainer.max_epochs=2")
    assert message in error_of(capsys, *LINE, "--seeds=1", *changed)


@pytest.mark.slow
def test_a_run_that_fails_is_named_with_its_reason(capsys):
    assert run(*LINE, "--seeds=1,2", "--trainer.detect_anomaly=true") == 0
    (FOLDER / "a-seed=2" / CHECKPOINTS / "last.ckpt").write_bytes(b"broken")
    (FOLDER / "a-seed=2" / CHECKPOINTS / "best.ckpt").unlink()
    capsys.readouterr()
    line = (*LINE, "--seeds=1,2", "--trainer.detect_anomaly=true", "--trainer.max_epochs=2")
    assert run(*line) == 1
    error = next(e for e in capsys.readouterr().err.splitlines() if e.startswith("rnn-lab:"))
    assert error.startswith(f"rnn-lab: {FOLDER}/a-seed=2 failed: ")
    assert error.endswith(f"see {FOLDER}/a-seed=2/fit.log")
    assert state(1)["epoch"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seeds=1,x"], "--seeds must be numbers separated by commas, such as 1,2,3, got 1,x"),
        (["--seeds=1,1"], "--seeds=1,1 has a seed twice"),
        (["--jobs=2"], "--jobs needs --seeds, such as --seeds=1,2,3"),
        (["--seeds=1", "--jobs=0"], "--jobs must be a number of at least 1, got 0"),
        (["--seeds=1,2", "--seed_everything=3"], "--seed_everything contradicts --seeds"),
        (["--seeds=1", "--model.hiden_dim=3"], "has no argument hiden_dim"),
        (["--seeds=1", "--trainer.fast_dev_run=1"], "fast_dev_run is not supported by fit --seeds"),
        (["--seeds=1", "--trainer.default_root_dir=x"], "several runs cannot share x"),
    ],
    ids=[
        *("words", "twice", "jobs_alone", "no_jobs", "seed", "unknown", "dry_run"),
        "folder",
    ],
)
def test_mistakes_cost_one_line_and_start_nothing(options, message, capsys):
    assert message in error_of(capsys, *LINE[:-1], *options)
    assert not FOLDER.exists()


def test_seeds_in_a_config_file_are_refused(capsys):
    Path("c.yaml").write_text("seeds: 1,2\n")
    message = "--seeds and --jobs are options of the command line of fit alone"
    assert message in error_of(capsys, *LINE, "-c", "c.yaml")
