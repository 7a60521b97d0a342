"""Trials are trained, pruned, started again after a kill, and end on signals."""

import json
import os
import signal
import sys
import threading
import time

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from rnn_lab import signals
from rnn_lab.commands import _sweep_trials
from rnn_lab.commands._sweep_trials import Budget, Trials, is_complete, trial_rows, value_of_trial
from rnn_lab.sweeps.study import Settings, Study

# A training whose metric is the learning rate: an epoch each time the file of that name exists.
TRAIN = """
import json, os, pathlib, signal, sys, time
folder, lr, epochs, fault = pathlib.Path(sys.argv[1]), float(sys.argv[2]), 2, sys.argv[3]
def say(state, epoch):
    fields = {"state": state, "step": 10 * epoch, "epoch": epoch, "host": "h", "pid": os.getpid()}
    fields |= {"job": None, "began": time.time(), "heartbeat": time.time()}
    fields |= {"monitor": "val/score", "best": lr}
    part = folder / "part"
    part.write_text(json.dumps(fields))
    part.replace(folder / "state.json")
def stop(signum, frame):
    say("preempted", 1)
    os._exit(128 + signum)
signal.signal(signal.SIGTERM, stop)
attempt = folder / "attempts"
attempt.write_text((attempt.read_text() if attempt.exists() else "") + "x")
if fault == "fail":
    print("rnn-lab: the reason")
    sys.exit(1)
if fault == "kill" and len(attempt.read_text()) < 3:
    os.kill(os.getpid(), signal.SIGKILL)
(folder / "metrics.csv").write_text(f"step,epoch,val/score\\n10,1,{lr}\\n")
say("running", 1)
while fault == "wait" or (fault == "wait if bad" and lr < 0.4):
    time.sleep(0.02)
say("finished", 2)
(folder / "cost.json").write_text(json.dumps({"seconds": 3600.0}))
"""


@pytest.fixture
def study(tmp_path):
    settings = Settings("val/score", "max", sampler="random", pruner="median")
    return Study(tmp_path / "s", {"lr": FloatDistribution(0, 1)}, settings, [])


@pytest.fixture
def run(study, monkeypatch):
    """Run trials of the training above, which has a fault."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(_sweep_trials, "LOOK", 0.0)

    def start(budget, jobs=1, fault="none"):
        def command(study, options, number, params):
            folder = str(_sweep_trials.folder_of(study, number))
            return [sys.executable, "-c", TRAIN, folder, str(params["lr"]), fault]

        monkeypatch.setattr(_sweep_trials, "command_of", command)
        return Trials(study, [], budget, jobs).run()

    return start


def states(study):
    return [trial.state for trial in study.trials()]


def test_trials_are_trained_until_the_budget_is_spent(run, study, capsys):
    assert run(Budget(3), jobs=2) == 0
    assert states(study) == [TrialState.COMPLETE] * 3
    for trial in study.trials():
        assert trial.value == pytest.approx(trial.params["lr"])
        assert trial.intermediate_values == {1: pytest.approx(trial.params["lr"])}
    assert "trial 2: complete, val/score 0." in capsys.readouterr().err
    assert run(Budget(3)) == 0
    assert len(study.trials()) == 3


@pytest.mark.parametrize(
    ("budget", "count"),
    [(Budget(9, hours=1.5), 2), (Budget(9, steps=60), 3)],
    ids=["hours", "steps"],
)
def test_time_and_steps_of_all_trials_end_a_sweep(budget, count, run, study):
    assert run(budget) == 0
    assert len(study.trials()) == count


def test_an_interrupted_trial_is_resumed_though_the_hours_are_spent(run, study):
    assert run(Budget(1)) == 0
    study.release(study.next_trial(9))
    budget = Budget(9, hours=1.0)
    assert not is_complete(study, budget)
    assert run(budget) == 0
    assert states(study) == [TrialState.COMPLETE] * 2
    assert is_complete(study, budget)
    assert is_complete(study, Budget(2))
    assert not is_complete(study, Budget(3))


def test_a_signal_before_the_first_trial_is_not_lost(run, study):
    with signals.handle_signals():
        os.kill(os.getpid(), signal.SIGUSR1)
        assert run(Budget(3)) == 128 + signal.SIGUSR1
    assert study.trials() == []


def test_a_bad_trial_is_pruned_and_its_folder_says_so(run, study):
    assert run(Budget(5)) == 0
    assert run(Budget(12), fault="wait if bad") == 0
    ended = study.trials()[5:]
    pruned = [trial for trial in ended if trial.state == TrialState.PRUNED]
    assert pruned
    assert all(trial.params["lr"] < 0.6 for trial in pruned)
    state = json.loads((study.folder / f"trial-{pruned[0].number}/state.json").read_text())
    assert (state["state"], state["reason"]) == ("pruned", "at epoch 1")


def test_a_killed_process_is_started_again(run, study):
    assert run(Budget(1), fault="kill") == 0
    assert states(study) == [TrialState.COMPLETE]
    assert (study.folder / "trial-0/attempts").read_text() == "xxx"


def test_a_trial_that_fails_is_named_and_the_sweep_goes_on(run, study, capsys):
    assert run(Budget(2), fault="fail") == 0
    assert states(study) == [TrialState.FAIL] * 2
    log = study.folder / "trial-0/fit.log"
    assert f"rnn-lab: trial 0 failed: the reason, see {log}" in capsys.readouterr().err


def test_an_interrupted_sweep_goes_on(run, study, capsys):
    def interrupt():
        while not (study.folder / "trial-0/state.json").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    # The training has no handler of SIGINT but that of Python, which ends it with status 1.
    assert run(Budget(3), fault="wait") == 128 + signal.SIGINT
    thread.join()
    assert states(study) in ([TrialState.RUNNING], [TrialState.FAIL])
    assert "interrupted: the same command resumes" in capsys.readouterr().err


def test_the_value_is_that_of_the_best_checkpoint(study):
    folder = study.folder / "trial-0"
    folder.mkdir()
    assert value_of_trial(folder, study) is None
    (folder / "metrics.csv").write_text("epoch,val/score\n1,0.5\n2,0.75\n3,nan\n")
    assert value_of_trial(folder, study) == 0.75
    (folder / "state.json").write_text(json.dumps({"monitor": "val/score", "best": 0.5}))
    assert value_of_trial(folder, study) == 0.5
    (folder / "state.json").write_text(json.dumps({"monitor": "val/loss", "best": 0.5}))
    assert value_of_trial(folder, study) == 0.75


def test_rows_mark_the_best_trial(run, study):
    assert run(Budget(2)) == 0
    head, *rows = trial_rows(study, study.trials())
    assert head == ["trial", "state", "lr", "val/score", "epoch"]
    best = study.best().number
    assert [row[0] for row in rows] == [f"{n}*" if n == best else str(n) for n in (0, 1)]
    assert [row[4] for row in rows] == ["1", "1"]
