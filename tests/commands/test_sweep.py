"""`rnn-lab sweep`: trials from the command line, also after kills, and mistakes in one line."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from command_line import SIZES, error_of, run

from rnn_lab.commands import sweep as command
from rnn_lab.sweeps.study import PRUNERS, SAMPLERS

pytestmark = pytest.mark.usefixtures("empty_folder")
DATA = [
    *("--model=TextClassifier", "--data=SyntheticReviews", "--data.train_size=48"),
    *("--data.valid_size=16", "--data.test_size=24", "--data.batch_size=16"),
    *("--trainer.accelerator=cpu", *SIZES),
]
LINE = ["sweep", *DATA, "--space=space.yaml", "--name=tune"]
FOLDER = Path("runs/SyntheticReviews/tune")
LISTS = "model.layer: [LSTM, GRU]\nmodel.bidirectional: [true, false]\n"


def write_space(text=LISTS):
    Path("space.yaml").write_text(text)


@pytest.mark.slow
def test_a_grid_is_trained_and_its_best_config_can_be_trained_again(capsys):
    write_space()
    line = [*LINE, "--sampler=grid", "--jobs=2", "--trainer.max_epochs=1"]
    assert run(*line) == 0
    printed = capsys.readouterr().out
    assert "is optimistic, since it was chosen by it" in printed
    assert "test/accuracy" in printed.partition("best: ")[2].splitlines()[0]
    with open(FOLDER / "sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({(row["model.layer"], row["model.bidirectional"]) for row in rows}) == 4
    best = max(rows, key=lambda row: float(row["val/accuracy"]))
    config = yaml.safe_load((FOLDER / "best.yaml").read_text())
    assert config["model"]["init_args"]["layer"] == best["model.layer"]
    assert (FOLDER / "trials.svg").exists()
    assert run("fit", "-c", FOLDER / "best.yaml", "--name=again") == 0
    before = (FOLDER / "sweep.csv").read_text()
    assert run(*line) == 0
    assert (FOLDER / "sweep.csv").read_text() == before


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kills_lose_no_trial_and_repeat_none():
    write_space("model.layer: [LSTM, GRU]\nmodel.hidden_dim: {int: [4, 16]}\n")
    options = [*LINE, "--trials=12", "--jobs=2", "--trainer.max_epochs=3"]
    options.remove(SIZES[1])
    arguments = [sys.executable, "-m", "rnn_lab", *options]

    def states():
        return [json.loads(path.read_text()) for path in FOLDER.glob("trial-*/state.json")]

    for finished in (1, 4, 7):  # kill all processes after so many trials have finished
        process = subprocess.Popen(arguments, start_new_session=True, stderr=subprocess.DEVNULL)
        while sum(state["state"] == "finished" for state in states()) < finished:
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for state in states():
            if state["state"] == "running":
                _kill(state["pid"])
    assert subprocess.run(arguments, check=False, capture_output=True).returncode == 0
    with open(FOLDER / "sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["trial"], row["state"]) for row in rows] == [
        (str(n), "complete") for n in range(12)
    ]
    assert len(list(FOLDER.glob("trial-*"))) == 12
    for number in range(12):
        folder = FOLDER / f"trial-{number}"
        with open(folder / "metrics.csv", newline="") as file:
            epochs = [row["epoch"] for row in csv.DictReader(file) if row["val/accuracy"]]
        assert epochs == sorted(epochs)  # a kill costs at most the epoch that it ends
        assert {*epochs} == {"1", "2", "3"}
    best = max(json.loads(path.read_text())["best"] for path in FOLDER.glob("trial-*/state.json"))
    assert max(float(row["val/accuracy"]) for row in rows) == best


def _kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def test_the_choices_are_those_of_the_package():
    assert (command.CHOICES["sampler"], command.CHOICES["pruner"]) == (SAMPLERS, PRUNERS)


@pytest.mark.parametrize(
    ("options", "space", "message"),
    [
        (["--trials=0"], LISTS, "--trials must be above 0, got 0"),
        (["--sampler=best"], LISTS, "--sampler must be tpe, random or grid, got best"),
        (["--model.layer=RNN"], LISTS, "--model.layer contradicts space.yaml: remove one of them"),
        ([], "model.hiden_dim: [1, 2]", "TextClassifier has no argument hiden_dim"),
        ([], "model.layer: [LSTM, GRUU]", "there is no recurrent layer GRUU: did you mean GRU"),
        ([], "model.layer: LSTM", "space.yaml: model.layer must be a list of values"),
        (["--sampler=grid"], "model.dropouts.word: {uniform: [0, 1]}", "a grid needs lists"),
        (["--metric=val/f1"], LISTS, "give --mode: whether lower (min) or higher (max) val/f1"),
        (["--ckpt_path=x.ckpt"], LISTS, "x.ckpt"),
        (["--model.hiden_dim=2"], LISTS, "has no argument hiden_dim"),
        (["--trial=3"], LISTS, "--trial"),
    ],
    ids=[
        *("trials", "sampler", "both", "option", "value", "space", "grid", "mode", "checkpoint"),
        *("unknown", "near"),
    ],
)
def test_mistakes_cost_one_line_before_the_first_trial(options, space, message, capsys):
    write_space(space)
    assert message in error_of(capsys, *LINE, *options)
    assert not list(Path().rglob("trial-*"))


def test_space_and_name_are_required(capsys):
    write_space()
    assert "give --space=FILE" in error_of(capsys, "sweep", *DATA, "--name=a")
    assert "give the sweep a --name" in error_of(capsys, "sweep", *DATA, "--space=space.yaml")


def test_optuna_is_an_extra(capsys, monkeypatch):
    write_space()
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert "a sweep needs Optuna: pip install 'rnn-lab[sweep]'" in error_of(capsys, *LINE)
