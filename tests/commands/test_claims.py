"""`rnn-lab claims`: runs of all variants and seeds, pages, and a kill in between."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from command_line import error_of, run

from rnn_lab.commands._configs import shipped_claims
from rnn_lab.io.run_files import CHECKPOINTS, STATE

pytestmark = pytest.mark.usefixtures("empty_folder")
FOLDER = Path("runs/claims/tiny")
TINY = {
    "sentence": "A small model is as good",
    "section": "LSTM vs GRU",
    "setting": "Generated reviews.",
    "config": "demo",
    "options": {
        **{"data.train_size": 64, "data.valid_size": 16, "data.test_size": 40},
        **{"trainer.max_epochs": 2, "trainer.accelerator": "cpu"},
    },
    "variants": {"large": {"model.hidden_dim": 16}, "small": {"model.hidden_dim": 8}},
    "hypotheses": [
        {
            **{"text": "it is smaller", "metric": "parameters", "direction": "lower"},
            **{"variant": "small", "than": "large"},
        },
        {
            **{"text": "it is as good", "metric": "test/accuracy", "direction": "higher"},
            **{"variant": "small", "than": "large", "margin": 0.9},
        },
    ],
    "figure": {"kind": "cost", "metric": "test/accuracy"},
}


def write_claim(**change):
    Path("tiny.yaml").write_text(yaml.safe_dump(TINY | change))


def test_claims_are_listed_without_training(capsys):
    assert run("claims", "--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*shipped_claims()]
    assert run("claims", "gru", "--list") == 0
    assert capsys.readouterr().out.split()[0] == "gru"
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["grru"], "grru is neither a file nor the name of a claim: did you mean gru?"),
        (["zzz"], "zzz is neither a file nor the name of a claim: use attention, "),
        (["gru", "--seeds=1"], "a verdict needs at least 2 seeds, got --seeds=1"),
        (["gru", "--seeds=1,x"], "--seeds must be numbers separated by commas"),
        (["gru", "--jobs=0"], "--jobs must be a number of at least 1, got 0"),
    ],
)
def test_mistakes_cost_one_line(options, message, capsys):
    assert message in error_of(capsys, "claims", *options)
    assert not Path("runs").exists()


def test_an_option_that_the_model_lacks_is_refused_before_the_first_training(capsys):
    write_claim(variants={"large": {}, "small": {"model.hiden_dim": 8}})
    assert "has no argument hiden_dim" in error_of(capsys, "claims", "tiny.yaml")
    assert not FOLDER.exists()


def command():
    return [sys.executable, "-m", "rnn_lab", "claims", "tiny.yaml", "--seeds=1,2", "--jobs=2"]


def states():
    return [json.loads(path.read_text()) for path in sorted(FOLDER.glob(f"*/{STATE}"))]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_claim_that_was_killed_is_resumed_and_finished_runs_are_not_repeated(capsys):
    write_claim()
    process = subprocess.Popen(command(), start_new_session=True)
    deadline = time.monotonic() + 600
    while not any(FOLDER.glob(f"*/{CHECKPOINTS}/last.ckpt")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    # The runs received SIGTERM from the system; the next command may come before they have ended.
    while any(_is_running(each) for each in states()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert run("claims", "tiny.yaml", "--seeds=1,2", "--jobs=2") == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0] == "runs/claims/tiny.html"
    assert printed.splitlines()[-1].split()[0] == "tiny"
    assert sorted(path.name for path in Path("runs/claims").iterdir()) == [
        *("tiny", "tiny.html", "tiny.md", "tiny.svg", "tiny_dark.svg"),
    ]
    before = states()
    assert [each["state"] for each in before] == ["finished"] * 4
    assert all(each["tested"] for each in before)
    assert (
        "| it is smaller | holds | parameters | small, large |"
        in Path("runs/claims/tiny.md").read_text()
    )

    assert run("claims", "tiny.yaml", "--seeds=1,2", "--output=pages") == 0
    assert states() == before
    assert (Path("pages") / "tiny.html").exists()
    assert "4 of 4 runs finished" in capsys.readouterr().err
    assert run("compare", str(FOLDER), "--by", "model.hidden_dim", "--against", "16") == 0


def _is_running(state):
    try:
        os.kill(state["pid"], 0)
    except ProcessLookupError:
        return False
    return state["state"] == "running"
