"""Checkpoints on Weights & Biases are downloaded once, and read like local ones."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import wandb
from command_line import REVIEWS, SIZES, run

from rnn_lab import load
from rnn_lab.errors import UserError
from rnn_lab.io import wandb_artifacts
from rnn_lab.io.wandb_artifacts import local_checkpoint

NAME = "entity/project/model:best"


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A server with one artifact, whose files are those of the folder `stored`."""
    stored, requests = tmp_path / "stored", []
    stored.mkdir()

    def artifact(name, type):
        requests.append((name, type))
        if name != NAME:
            raise wandb.errors.CommError(f"{name} not found\nin the project")
        return SimpleNamespace(
            digest="d", download=lambda root: shutil.copytree(stored, root, dirs_exist_ok=True)
        )

    wandb_artifacts._download.cache_clear()
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setattr(wandb, "Api", lambda: SimpleNamespace(artifact=artifact))
    monkeypatch.setattr("wandb.sdk.lib.wbauth.authenticate_session", lambda **_: "key")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RNN_LAB_RUN", raising=False)
    yield SimpleNamespace(stored=stored, requests=requests)
    wandb_artifacts._download.cache_clear()


def test_a_local_path_is_unchanged():
    assert local_checkpoint("runs/a/checkpoints/best.ckpt") == "runs/a/checkpoints/best.ckpt"


def test_an_artifact_is_downloaded_once(server):
    (server.stored / "model.ckpt").write_text("weights")
    paths = {local_checkpoint(f"wandb://{NAME}") for _ in range(3)}
    assert [Path(path).read_text() for path in paths] == ["weights"]
    assert server.requests == [(NAME, "model")]


def test_an_artifact_without_a_checkpoint_is_refused(server):
    with pytest.raises(UserError, match="model:best has 0 checkpoints"):
        local_checkpoint(f"wandb://{NAME}")


def test_a_missing_artifact_is_reported_in_one_line(server):
    with pytest.raises(UserError, match=r"wandb://a/b:c cannot be downloaded: a/b:c not found$"):
        local_checkpoint("wandb://a/b:c")


def test_without_a_key_nothing_is_asked(server, monkeypatch):
    monkeypatch.setattr("wandb.sdk.lib.wbauth.authenticate_session", lambda **_: None)
    with pytest.raises(UserError, match="requires an API key: set WANDB_API_KEY"):
        local_checkpoint(f"wandb://{NAME}")
    assert not server.requests


@pytest.mark.slow
def test_commands_read_an_artifact_like_a_file(server):
    assert run("fit", *REVIEWS, *SIZES, "--name=a") == 0
    best = Path("runs/SyntheticReviews/a/checkpoints/best.ckpt")
    shutil.copy(best, server.stored / "model.ckpt")
    path = f"wandb://{NAME}"
    assert run("test", "--ckpt_path", path, "--name=b") == 0
    assert run("fit", "--ckpt_path", path, "--trainer.max_epochs=2", "--name=c") == 0
    assert run("fit", "--init_from", path, "--trainer.max_epochs=1", "--name=d") == 0
    assert Path("runs/SyntheticReviews/b/metrics.test.csv").exists()
    assert Path("runs/SyntheticReviews/c/checkpoints/last.ckpt").exists()
    assert load(path).predict(["a good film"])
