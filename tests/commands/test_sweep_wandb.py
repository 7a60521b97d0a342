"""`rnn-lab sweep --wandb`: the file of a W&B sweep, its registration, and trials of agents."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from command_line import SIZES, error_of, run

from rnn_lab.commands import _sweep_wandb
from rnn_lab.commands._wandb import VARIABLES

FOLDER = Path("runs/SyntheticReviews/tune")
DATA = [
    *("--model=TextClassifier", "--data=SyntheticReviews", "--data.train_size=48"),
    *("--data.valid_size=16", "--data.test_size=24", "--trainer.accelerator=cpu", SIZES[0]),
]
LINE = ["sweep", *DATA, "--space=space.yaml", "--name=tune"]
SPACE = "model.layer: [LSTM, GRU]\nmodel.hidden_dim: {int: [4, 8], step: 4}\n"


@pytest.fixture(autouse=True)
def _workplace(empty_folder, monkeypatch, tmp_path):
    Path("space.yaml").write_text(SPACE)
    for name in (*VARIABLES, "WANDB_ENTITY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.fixture
def sent(monkeypatch):
    """Configs that a fake W&B registers."""
    configs = []

    def sweep(config, project):
        configs.append((config, project))
        monkeypatch.setenv("WANDB_ENTITY", "team")
        return "abc"

    monkeypatch.setattr(_sweep_wandb, "reason_offline", lambda source: None)
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(sweep=sweep))
    return configs


def test_a_sweep_is_written_registered_once_and_its_agents_are_named(sent, capsys):
    for _ in range(2):
        assert run(*LINE, "--wandb=mine", "--sampler=grid") == 0
        assert "  wandb agent team/mine/abc\n" in capsys.readouterr().out
    assert sent == [(yaml.safe_load((FOLDER / "wandb_sweep.yaml").read_text()), "mine")]
    (config, _), *_ = sent
    assert (config["name"], config["method"], config["run_cap"]) == ("tune", "grid", 4)
    assert config["parameters"]["model.hidden_dim"] == {"values": [4, 8]}
    assert "--wandb=mine" in config["command"]
    assert not any(word.startswith("--name") for word in config["command"])
    assert sorted(path.name for path in FOLDER.iterdir()) == ["wandb_sweep.id", "wandb_sweep.yaml"]
    assert "has another W&B sweep: give another --name" in error_of(capsys, *LINE, "--wandb")


def test_without_a_network_the_reason_is_one_line(sent, capsys, monkeypatch):
    def fail(config, project):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(sys.modules["wandb"], "sweep", fail)
    assert run(*LINE, "--wandb") == 0
    path = FOLDER / "wandb_sweep.yaml"
    line = f"not registered, no route to host: later `wandb sweep {path}`"
    assert capsys.readouterr().out.splitlines() == [f"written: {path}", line]
    assert not (FOLDER / "wandb_sweep.id").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of wandb
@pytest.mark.parametrize(
    ("mode", "reason"), [("offline", "W&B is offline"), ("", "no API key is configured")]
)
def test_offline_or_without_a_key_the_file_alone_is_written(mode, reason, capsys, monkeypatch):
    import wandb

    wandb.teardown()  # settings are read once
    monkeypatch.setenv("WANDB_MODE", mode) if mode else None
    assert run(*LINE, "--wandb") == 0
    wandb.teardown()
    assert f"not registered, {reason}: later `wandb sweep {FOLDER}" in capsys.readouterr().out
    assert yaml.safe_load((FOLDER / "wandb_sweep.yaml").read_text())["project"] == "rnn-lab"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_trial_of_an_agent_logs_to_its_run_and_resumes_in_its_folder(sent, monkeypatch):
    assert run(*LINE, "--wandb=mine", "--trainer.max_epochs=1") == 0
    ((config, _),) = sent
    monkeypatch.delitem(sys.modules, "wandb")
    own = ["--model.layer=GRU", "--model.hidden_dim=4"]
    command = [*config["command"][2:-1], *own]
    for name, value in (("SWEEP_ID", "abc"), ("RUN_ID", "xyz"), ("MODE", "offline")):
        monkeypatch.setenv(f"WANDB_{name}", value)
    for epochs in (1, 2):  # W&B starts a preempted run again
        assert run(*command, f"--trainer.max_epochs={epochs}") == 0
        monkeypatch.delenv("RNN_LAB_RUN", raising=False)
    (folder,) = Path("runs/SyntheticReviews").glob("*xyz")
    assert len([*folder.glob("wandb/offline-run-*-xyz")]) == 2
    assert len((folder / "metrics.csv").read_text().splitlines()) > 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--jobs=2"], "--jobs has no effect on the agents of --wandb"),
        (["--sampler-seed=0"], "--sampler-seed has no effect on the agents of --wandb"),
        (["--slurm", "--time=1:00:00"], "--slurm has no effect on the agents of --wandb"),
        (["--pruner=median"], "W&B has no median pruner"),
        (["--trainer.default_root_dir=a"], "each trial has a folder of its own"),
    ],
)
def test_mistakes_cost_one_line_and_write_nothing(options, message, capsys):
    assert message in error_of(capsys, *LINE, "--wandb", *options)
    assert not FOLDER.exists()
